-- The directory: who buys what from whom. A row that is removed stays, with removed_at, because history refers to it.
-- source_partition and source_offset say which record a row shows; an older record never overwrites a newer one.

CREATE TABLE organisation (
    organisation_no  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id               text    NOT NULL UNIQUE,
    type             text    NOT NULL CHECK (type IN ('service_provider', 'virtual_service_provider', 'value_added_reseller', 'customer')),
    parent           text,
    name             text    NOT NULL,
    billing_id       text,
    location         text,
    language         text,
    currency         text CHECK (currency ~ '^[A-Z]{3}$'),
    imported         boolean NOT NULL DEFAULT false,
    removed_at       timestamptz,
    source_partition integer NOT NULL,
    source_offset    bigint  NOT NULL
);
CREATE INDEX organisation_parent ON organisation (parent);

CREATE TABLE site (
    customer_no      integer NOT NULL REFERENCES organisation,
    id               text    NOT NULL,
    name             text    NOT NULL,
    billing_number   text,
    removed_at       timestamptz,
    source_partition integer NOT NULL,
    source_offset    bigint  NOT NULL,
    PRIMARY KEY (customer_no, id)
);

-- Whatever a sample can be about: instances, subscriptions, applications. The id never changes hands.
CREATE TABLE billable_object (
    object_no   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_no integer NOT NULL REFERENCES organisation,
    id          text    NOT NULL UNIQUE,
    kind        text    NOT NULL CHECK (kind IN ('service_instance', 'subscription', 'application'))
);

CREATE TABLE service_instance (
    customer_no      integer NOT NULL REFERENCES organisation,
    object_no        integer NOT NULL REFERENCES billable_object,
    id               text    NOT NULL,
    service          text    NOT NULL,
    plan             text,
    status           text    NOT NULL,
    is_billed        boolean NOT NULL,
    reseller_service boolean NOT NULL,
    properties       jsonb   NOT NULL,
    allocations      jsonb   NOT NULL,
    removed_at       timestamptz,
    source_partition integer NOT NULL,
    source_offset    bigint  NOT NULL,
    PRIMARY KEY (customer_no, object_no)
);

CREATE TABLE subscription (
    customer_no      integer NOT NULL REFERENCES organisation,
    object_no        integer NOT NULL REFERENCES billable_object,
    id               text    NOT NULL,
    instance_no      integer NOT NULL REFERENCES billable_object,
    plan             text,
    status           text    NOT NULL,
    user_upn         text    NOT NULL,
    user_name        text    NOT NULL,
    removed_at       timestamptz,
    source_partition integer NOT NULL,
    source_offset    bigint  NOT NULL,
    PRIMARY KEY (customer_no, object_no)
);

CREATE TABLE application (
    customer_no      integer NOT NULL REFERENCES organisation,
    object_no        integer NOT NULL REFERENCES billable_object,
    id               text    NOT NULL,
    subscription_no  integer NOT NULL REFERENCES billable_object,
    name             text    NOT NULL,
    properties       jsonb   NOT NULL,
    status           text    NOT NULL,
    removed_at       timestamptz,
    source_partition integer NOT NULL,
    source_offset    bigint  NOT NULL,
    PRIMARY KEY (customer_no, object_no)
);

CREATE TABLE inventory (
    customer_no      integer NOT NULL REFERENCES organisation,
    id               text    NOT NULL,
    site             text,
    counts           jsonb   NOT NULL,
    removed_at       timestamptz,
    source_partition integer NOT NULL,
    source_offset    bigint  NOT NULL,
    PRIMARY KEY (customer_no, id)
);

-- Entities whose parent has not been heard of yet. Order between keys is nobody's promise, so they wait.
CREATE TABLE waiting_entity (
    entity_key       text   PRIMARY KEY,
    waits_for        text   NOT NULL,
    entity           jsonb  NOT NULL,
    source_partition integer NOT NULL,
    source_offset    bigint NOT NULL,
    since            timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX waiting_entity_waits_for ON waiting_entity (waits_for);

GRANT SELECT, INSERT, UPDATE ON organisation, site, service_instance, subscription, application, inventory TO billing_engine;
GRANT SELECT, INSERT ON billable_object TO billing_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON waiting_entity TO billing_engine;
