-- The catalogue as administrators edit it. What was billed is in the frozen batches, so rows here may change and go.

CREATE TABLE service (
    id   text PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE service_counter (
    service     text NOT NULL REFERENCES service ON DELETE CASCADE,
    name        text NOT NULL,
    unit        text NOT NULL,
    aggregation text NOT NULL CHECK (aggregation IN ('last', 'max', 'sum')),
    PRIMARY KEY (service, name)
);

CREATE TABLE plan (
    id       text PRIMARY KEY,
    service  text NOT NULL REFERENCES service ON DELETE CASCADE,
    type     text NOT NULL CHECK (type IN ('customer_plan', 'user_plan')),
    name     text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$')
);
CREATE INDEX plan_service ON plan (service);

CREATE TABLE plan_property (
    plan  text NOT NULL REFERENCES plan ON DELETE CASCADE,
    name  text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (plan, name)
);

CREATE TABLE plan_override (
    plan     text NOT NULL REFERENCES plan ON DELETE CASCADE,
    level    text NOT NULL CHECK (level IN ('organisation', 'location')),
    level_id text NOT NULL,
    name     text NOT NULL,
    value    text NOT NULL,
    PRIMARY KEY (plan, level, level_id, name)
);

-- Edits go to the draft; a published version never changes, and transfers use the newest one.
CREATE TABLE schema_draft (
    service text  PRIMARY KEY REFERENCES service ON DELETE CASCADE,
    units   jsonb NOT NULL
);

CREATE TABLE schema_version (
    service      text        NOT NULL,
    version      integer     NOT NULL CHECK (version > 0),
    units        jsonb       NOT NULL,
    published_at timestamptz NOT NULL,
    published_by text        NOT NULL,
    reason       text        NOT NULL,
    PRIMARY KEY (service, version)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON service, service_counter, plan, plan_property, plan_override, schema_draft
    TO billing_engine;
GRANT SELECT, INSERT ON schema_version TO billing_engine;
