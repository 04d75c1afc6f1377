-- The warehouse: frozen batches and their chunks. Rows of a batch are written once; nobody can change them afterwards.

CREATE TABLE batch (
    batch_date        date    NOT NULL,
    revision          integer NOT NULL CHECK (revision >= 1),
    state             text    NOT NULL DEFAULT 'loading' CHECK (state IN ('loading', 'loaded', 'failed')),
    expected_chunks   integer CHECK (expected_chunks >= 0),
    expected_lines    bigint  CHECK (expected_lines >= 0),
    expected_sha256   text    CHECK (expected_sha256 ~ '^[0-9a-f]{64}$'),
    expected_totals   jsonb   NOT NULL DEFAULT '{}',
    previous_date     date,
    previous_revision integer,
    previous_sha256   text    CHECK (previous_sha256 ~ '^[0-9a-f]{64}$'),
    completeness      jsonb   NOT NULL DEFAULT '{}',
    totals            jsonb   NOT NULL DEFAULT '{}',
    reason            text,
    closed_at         timestamptz,
    PRIMARY KEY (batch_date, revision),
    CHECK (state <> 'loaded' OR expected_sha256 IS NOT NULL)
);

-- Which revision of a date reports are made from.
CREATE TABLE batch_current (
    batch_date date    PRIMARY KEY,
    revision   integer NOT NULL,
    FOREIGN KEY (batch_date, revision) REFERENCES batch
);

-- One row a chunk: what the batch hash is made of, and what makes a chunk that comes twice a duplicate.
CREATE TABLE batch_chunk (
    batch_date date    NOT NULL,
    revision   integer NOT NULL,
    sequence   integer NOT NULL CHECK (sequence >= 1),
    kind       text    NOT NULL CHECK (kind IN ('organisations', 'allocations', 'lines')),
    row_count  integer NOT NULL CHECK (row_count >= 0),
    sha256     text    NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    PRIMARY KEY (batch_date, revision, sequence),
    FOREIGN KEY (batch_date, revision) REFERENCES batch
);

-- Columns in the order in which lines travel. (sequence, position) is the place of the line in its batch, so that the
-- bytes it came in can be made again. Text is ordered by its code points: the same on every machine.
CREATE TABLE batch_line (
    batch_date      date     NOT NULL,
    revision        integer  NOT NULL,
    sequence        integer  NOT NULL,
    position        integer  NOT NULL,
    customer_id     text     COLLATE "C" NOT NULL,
    service         text     COLLATE "C" NOT NULL,
    plan_type       text     COLLATE "C" NOT NULL,
    unit            text     COLLATE "C" NOT NULL,
    object_id       text     COLLATE "C" NOT NULL,
    plan            text     COLLATE "C",
    kind            text     COLLATE "C" NOT NULL CHECK (kind IN ('line', 'correction', 'adjustment')),
    corrects        date,
    description     text     COLLATE "C",
    name            text     COLLATE "C",
    stock_code      text     COLLATE "C",
    unit_code       text     COLLATE "C",
    quantity        numeric  NOT NULL CHECK (quantity > '-Infinity' AND quantity < 'Infinity'),
    sales_price     numeric  CHECK (sales_price > '-Infinity' AND sales_price < 'Infinity'),
    cost_price      numeric  CHECK (cost_price > '-Infinity' AND cost_price < 'Infinity'),
    total           numeric  NOT NULL CHECK (total > '-Infinity' AND total < 'Infinity'),
    currency        text     COLLATE "C" NOT NULL CHECK (length(currency) = 3),
    flags           text     COLLATE "C",
    quantity_source text     COLLATE "C",
    price_source    text     COLLATE "C"
) PARTITION BY LIST (batch_date);
-- A partition holds one date and has no index: a report, like a verification, reads a whole date, which the parallel
-- scan of its partition does best, and sorting it costs less than half of what keeping an order while loading would.

CREATE TABLE batch_organisation (
    batch_date date    NOT NULL,
    revision   integer NOT NULL,
    sequence   integer NOT NULL,
    position   integer NOT NULL,
    id         text    COLLATE "C" NOT NULL,
    parent     text    COLLATE "C",
    type       text    COLLATE "C" NOT NULL,
    name       text    COLLATE "C",
    billing_id text    COLLATE "C",
    location   text    COLLATE "C",
    language   text    COLLATE "C",
    currency   text    COLLATE "C",
    PRIMARY KEY (batch_date, revision, id)
);
CREATE INDEX batch_organisation_children ON batch_organisation (batch_date, revision, parent);

CREATE TABLE batch_allocation (
    batch_date  date    NOT NULL,
    revision    integer NOT NULL,
    sequence    integer NOT NULL,
    position    integer NOT NULL,
    customer_id text    COLLATE "C" NOT NULL,
    service     text    COLLATE "C" NOT NULL,
    plan        text    COLLATE "C" NOT NULL,
    plan_name   text    COLLATE "C",
    allocated   numeric,
    used        numeric,
    PRIMARY KEY (batch_date, revision, customer_id, service, plan)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %: a batch is history and never changes', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON batch_line FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON batch_chunk FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON batch_organisation FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON batch_allocation FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON batch_line EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON batch_chunk EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON batch_organisation EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON batch_allocation EXECUTE FUNCTION refuse_change();

-- A batch that reports may have been made from keeps its facts.
CREATE FUNCTION keep_loaded_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'loaded' THEN
        RAISE EXCEPTION '% on batch %, revision %: a loaded batch never changes', TG_OP, OLD.batch_date, OLD.revision
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER loaded_never_changes BEFORE UPDATE OR DELETE ON batch
    FOR EACH ROW EXECUTE FUNCTION keep_loaded_batch();

-- The runtime role makes no tables. This lets it have the one kind it needs: the date's partition of the lines. The
-- partition is attached, not created in place, because that does not wait for reports that are reading other dates.
CREATE FUNCTION ensure_line_partition(day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    partition_name text := 'batch_line_' || to_char(day, 'YYYY_MM_DD');
BEGIN
    IF day < '2000-01-01' OR day >= '2200-01-01' THEN
        RAISE EXCEPTION 'batch date % is not between 2000 and 2199', day USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF to_regclass('public.' || partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('report_builder.ensure_line_partition'));
    IF to_regclass('public.' || partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.batch_line INCLUDING ALL)', partition_name);
    EXECUTE format('ALTER TABLE public.batch_line ATTACH PARTITION public.%I FOR VALUES IN (%L)', partition_name, day);
    EXECUTE format(
        'CREATE TRIGGER never_emptied BEFORE TRUNCATE ON public.%I EXECUTE FUNCTION public.refuse_change()',
        partition_name
    );
END
$$;
REVOKE ALL ON FUNCTION ensure_line_partition(date) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION ensure_line_partition(date) TO report_builder;
GRANT SELECT, INSERT, UPDATE ON batch, batch_current TO report_builder;
GRANT SELECT, INSERT ON batch_chunk, batch_line, batch_organisation, batch_allocation TO report_builder;
