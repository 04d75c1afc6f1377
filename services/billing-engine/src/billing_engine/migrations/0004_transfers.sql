-- Transfers and what they froze. The frozen chunks are the published bytes themselves: publishing again sends the same
-- bytes, and their hashes are the batch's proof. Nobody, the owner included, can change them.

CREATE TABLE transfer (
    batch_date        date        NOT NULL,
    revision          integer     NOT NULL CHECK (revision > 0),
    usage_day         date        NOT NULL,
    state             text        NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    step              text        NOT NULL CHECK (step IN ('freeze-usage', 'compute-lines', 'publish-lines', 'await-warehouse')),
    requested_by      text        NOT NULL,
    requested_at      timestamptz NOT NULL,
    frozen_at         timestamptz,
    chunks            integer,
    lines             bigint,
    sha256            text,
    previous_date     date,
    previous_revision integer,
    previous_sha256   text,
    totals            jsonb       NOT NULL DEFAULT '{}',
    completeness      jsonb       NOT NULL DEFAULT '{}',
    reason            text,
    PRIMARY KEY (batch_date, revision),
    CHECK (state <> 'done' OR sha256 IS NOT NULL)
);
CREATE UNIQUE INDEX transfer_one_at_a_time ON transfer (batch_date) WHERE state = 'running';

CREATE TABLE transfer_step (
    batch_date  date    NOT NULL,
    revision    integer NOT NULL,
    name        text    NOT NULL,
    state       text    NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    rows        bigint  NOT NULL DEFAULT 0,
    started_at  timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (batch_date, revision, name),
    FOREIGN KEY (batch_date, revision) REFERENCES transfer
);

CREATE TABLE batch_chunk (
    batch_date date    NOT NULL,
    revision   integer NOT NULL,
    sequence   integer NOT NULL,
    kind       text    NOT NULL CHECK (kind IN ('organisations', 'allocations', 'lines')),
    first_key  text    NOT NULL,
    row_count  integer NOT NULL CHECK (row_count > 0),
    sha256     bytea   NOT NULL,
    rows       bytea   NOT NULL,
    PRIMARY KEY (batch_date, revision, sequence)
) PARTITION BY RANGE (batch_date);
ALTER TABLE batch_chunk ALTER COLUMN rows SET STORAGE EXTERNAL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a frozen batch cannot be changed (% on %)', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER batch_chunk_is_frozen BEFORE UPDATE OR DELETE ON batch_chunk
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION ensure_batch_date(wanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition_name text := 'batch_chunk_' || to_char(wanted, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('batch_chunk'), hashtext(partition_name));
    IF to_regclass('public.' || partition_name) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.batch_chunk FOR VALUES FROM (%L) TO (%L)',
                       partition_name, wanted, wanted + 1);
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN rows SET STORAGE EXTERNAL', partition_name);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION ensure_batch_date(date) FROM PUBLIC;

GRANT SELECT, INSERT, UPDATE ON transfer, transfer_step TO billing_engine;
GRANT SELECT, INSERT ON batch_chunk TO billing_engine;
GRANT EXECUTE ON FUNCTION ensure_batch_date(date) TO billing_engine;
