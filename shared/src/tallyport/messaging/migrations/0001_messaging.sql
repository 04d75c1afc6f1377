-- The tables behind "nothing lost, nothing twice"; every service's database has them.

CREATE TABLE event_source (
    source_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source    text NOT NULL UNIQUE
);

-- One row for each event ever taken in. Hash partitions keep (source, id) unique over all of them, which partitions by
-- time could not; old rows leave by received_on, found through the block range index.
CREATE TABLE inbox (
    source_id      integer NOT NULL,
    id             uuid    NOT NULL,
    payload_sha256 bytea   NOT NULL CHECK (octet_length(payload_sha256) = 32),
    received_on    date    NOT NULL DEFAULT current_date,
    PRIMARY KEY (source_id, id)
) PARTITION BY HASH (id);
CREATE TABLE inbox_0 PARTITION OF inbox FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE inbox_1 PARTITION OF inbox FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE inbox_2 PARTITION OF inbox FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE inbox_3 PARTITION OF inbox FOR VALUES WITH (MODULUS 4, REMAINDER 3);
CREATE INDEX inbox_received_on ON inbox USING brin (received_on);

CREATE TABLE outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         text        NOT NULL,
    key           bytea,
    value         bytea,
    header_names  text[]      NOT NULL,
    header_values bytea[]     NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (cardinality(header_names) = cardinality(header_values))
);

-- Which records could not be used: the record itself is in the dead-letter topic. The key keeps a record that is read
-- again from being set aside twice.
CREATE TABLE dead_letter (
    topic          text        NOT NULL,
    partition      integer     NOT NULL,
    record_offset  bigint      NOT NULL,
    payload_sha256 bytea       NOT NULL,
    consumer       text        NOT NULL,
    reason         text        NOT NULL,
    set_aside_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, record_offset, payload_sha256)
);

DO $$
DECLARE
    runtime_role text := regexp_replace(current_user, '_owner$', '');
BEGIN
    EXECUTE format('GRANT SELECT, INSERT ON event_source TO %I', runtime_role);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON inbox TO %I', runtime_role);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON outbox TO %I', runtime_role);
    EXECUTE format('GRANT SELECT, INSERT ON dead_letter TO %I', runtime_role);
END
$$;
