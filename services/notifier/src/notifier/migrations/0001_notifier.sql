-- Projections of directory.changes and catalog.changes; a row keeps the place of the record it shows.

CREATE TABLE organisation (
    id               text    PRIMARY KEY,
    type             text    NOT NULL,
    parent           text,
    name             text    NOT NULL,
    location         text,
    language         text,
    currency         text,
    imported         boolean NOT NULL,
    removed          boolean NOT NULL DEFAULT false,
    source_partition integer NOT NULL,
    source_offset    bigint  NOT NULL
);

CREATE TABLE catalog_entity (
    key              text    PRIMARY KEY,
    kind             text    NOT NULL CHECK (kind IN ('service', 'plan', 'override', 'service_schema')),
    plan             text,
    service          text,
    data             jsonb   NOT NULL,
    removed          boolean NOT NULL DEFAULT false,
    source_partition integer NOT NULL,
    source_offset    bigint  NOT NULL
);
CREATE INDEX catalog_entity_plan ON catalog_entity (plan) WHERE plan IS NOT NULL;

-- Which actions are asked about, and whose customers are asked at all. No row: the default.
CREATE TABLE action_setting (
    action     text        PRIMARY KEY,
    ticked     boolean     NOT NULL,
    changed_by text        NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE TABLE confirmation_switch (
    customer   text        PRIMARY KEY,
    is_on      boolean     NOT NULL,
    changed_by text        NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE TABLE action_request (
    id             text        PRIMARY KEY,
    payload_sha256 bytea       NOT NULL,
    action         text        NOT NULL,
    customer       text        NOT NULL,
    request        jsonb       NOT NULL,
    correlation_id text        NOT NULL,
    requested_at   timestamptz NOT NULL,
    decision       text        CHECK (decision IN ('allowed', 'declined')),
    reason         text,
    quote          jsonb,
    decided_at     timestamptz,
    CHECK ((decision IS NULL) = (decided_at IS NULL) AND (decision IS NULL) = (reason IS NULL))
);

CREATE TABLE confirmation (
    id           text        PRIMARY KEY,
    request      text        NOT NULL REFERENCES action_request,
    customer     text        NOT NULL,
    state        text        NOT NULL CHECK (state IN ('open', 'confirmed', 'declined', 'expired', 'superseded')),
    message      text        NOT NULL,
    language     text        NOT NULL,
    quote        jsonb       NOT NULL,
    quote_sha256 text        NOT NULL,
    asked_at     timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    answered_by  text,
    answered_at  timestamptz
);
-- One question at a time about a request.
CREATE UNIQUE INDEX confirmation_one_open ON confirmation (request) WHERE state = 'open';
CREATE INDEX confirmation_open ON confirmation (expires_at) WHERE state = 'open';

-- Who did what, in order; nobody edits it.
CREATE TABLE audit_entry (
    number bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL,
    who    text        NOT NULL,
    what   text        NOT NULL,
    about  text        NOT NULL,
    detail jsonb       NOT NULL
);
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log cannot be changed' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_entry_is_final BEFORE UPDATE OR DELETE ON audit_entry FOR EACH ROW EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT, UPDATE ON organisation, catalog_entity, action_setting, confirmation_switch, action_request, confirmation
    TO notifier;
GRANT SELECT, INSERT ON audit_entry TO notifier;
