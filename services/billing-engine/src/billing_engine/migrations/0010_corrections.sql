-- What is measured late is billed as a correction. For that: which usage days are closed, what arrived for them afterwards,
-- exactly which state a batch was computed from, and which batches a transfer corrects.

-- A transfer's freeze-usage step closes its usage day. What arrives for a closed day is late.
CREATE TABLE usage_day_closed (
    day        date        NOT NULL,
    batch_date date        NOT NULL,
    revision   integer     NOT NULL,
    closed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, batch_date, revision)
);
INSERT INTO usage_day_closed (day, batch_date, revision)
SELECT usage_day, batch_date, revision FROM transfer WHERE step <> 'freeze-usage';

-- One row for whatever is late of an object, a counter and a day; marked_in is the transaction that found the newest of it.
CREATE TABLE late_usage (
    customer_no integer     NOT NULL,
    object_no   integer     NOT NULL,
    counter_no  smallint    NOT NULL,
    day         date        NOT NULL,
    first_seen  timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz NOT NULL DEFAULT now(),
    marked_in   xid8        NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (customer_no, object_no, counter_no, day)
);
CREATE INDEX late_usage_day ON late_usage (day, customer_no);

-- Whoever takes in samples holds the fence together with others until its transaction ends, and learns which of the days
-- are closed; closing a day takes it alone, so that whatever was taken in before is there. Each statement of a function
-- like this sees what was committed before it, so the days are those of the moment when the fence was passed.
CREATE FUNCTION pass_usage_fence(days date[]) RETURNS date[]
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('tallyport.usage'));
    RETURN ARRAY(SELECT DISTINCT day FROM usage_day_closed WHERE day = ANY (days));
END
$$;

-- The state that a revision was computed from. A revision that bills_late has looked at all that was late by then.
CREATE TABLE transfer_snapshot (
    batch_date date        NOT NULL,
    revision   integer     NOT NULL,
    snapshot   pg_snapshot NOT NULL,
    taken_at   timestamptz NOT NULL,
    bills_late boolean     NOT NULL,
    extra      bigint      NOT NULL DEFAULT 0,  -- how many of its lines are corrections or adjustments
    PRIMARY KEY (batch_date, revision),
    FOREIGN KEY (batch_date, revision) REFERENCES transfer
);

-- Which batches a revision corrects, and in which of its chunks; those are null where it found no difference.
CREATE TABLE batch_correction (
    batch_date        date    NOT NULL,
    revision          integer NOT NULL,
    corrects          date    NOT NULL,
    corrects_revision integer NOT NULL,
    first_chunk       integer,
    last_chunk        integer,
    PRIMARY KEY (batch_date, revision, corrects),
    FOREIGN KEY (batch_date, revision) REFERENCES transfer,
    CHECK (corrects < batch_date),
    CHECK (num_nulls(first_chunk, last_chunk) <> 1 AND first_chunk <= last_chunk)
);
CREATE INDEX batch_correction_corrects ON batch_correction (corrects);

-- Versions tell in which transaction they came and went, too: two transactions that overlap have no order in time, but a
-- snapshot has seen either or not.
CREATE FUNCTION tell_transactions_of(wanted text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE public.%I ADD COLUMN changed_in xid8', wanted);
    EXECUTE format('ALTER TABLE public.%I ALTER COLUMN changed_in SET DEFAULT pg_current_xact_id()', wanted);
END
$$;
REVOKE EXECUTE ON FUNCTION tell_transactions_of(text) FROM PUBLIC;

SELECT tell_transactions_of(name) FROM versioned_table;
SELECT tell_transactions_of('schema_version');
SELECT tell_transactions_of('row_version');
ALTER TABLE row_version RENAME COLUMN changed_in TO replaced_in;

CREATE OR REPLACE FUNCTION stamp_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_at := now();
    NEW.changed_in := pg_current_xact_id();
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION keep_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- What a transaction says and takes back was never so.
    INSERT INTO row_version (customer_no, kind, valid_from, valid_to, row)
    SELECT coalesce((o.row ->> 'customer_no')::int, (o.row ->> 'organisation_no')::int, 0), TG_TABLE_NAME,
           (o.row ->> 'changed_at')::timestamptz, now(), o.row
    FROM (SELECT to_jsonb(before) AS row FROM before) o
    WHERE (o.row ->> 'changed_in')::xid8 IS DISTINCT FROM pg_current_xact_id();
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION keep_versions_of(wanted text, indexed_by text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE public.%I ADD COLUMN changed_at timestamptz NOT NULL DEFAULT ''-infinity''', wanted);
    EXECUTE format('ALTER TABLE public.%I ALTER COLUMN changed_at SET DEFAULT now()', wanted);
    PERFORM public.tell_transactions_of(wanted);
    EXECUTE format('CREATE TRIGGER stamp_change BEFORE UPDATE ON public.%I '
                   'FOR EACH ROW EXECUTE FUNCTION public.stamp_change()', wanted);
    EXECUTE format('CREATE TRIGGER keep_updated AFTER UPDATE ON public.%I REFERENCING OLD TABLE AS before '
                   'FOR EACH STATEMENT EXECUTE FUNCTION public.keep_version()', wanted);
    EXECUTE format('CREATE TRIGGER keep_deleted AFTER DELETE ON public.%I REFERENCING OLD TABLE AS before '
                   'FOR EACH STATEMENT EXECUTE FUNCTION public.keep_version()', wanted);
    INSERT INTO public.versioned_table VALUES (wanted, indexed_by);
END
$$;

-- With a snapshot, only what it has seen: a transaction that began before the moment may have ended after the batch was
-- computed. The moment counts beside it, because a database that was restored elsewhere counts its transactions anew.
DROP FUNCTION travel_to(timestamptz);
CREATE FUNCTION travel_to(moment timestamptz, seen pg_snapshot DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    SET LOCAL search_path = public;
    FOR one IN SELECT name, indexed_by FROM public.versioned_table ORDER BY name LOOP
        EXECUTE format(
            'CREATE TEMPORARY TABLE %1$I ON COMMIT DROP AS '
            'SELECT * FROM public.%1$I WHERE changed_at <= %2$L '
            'AND (%3$L::pg_snapshot IS NULL OR changed_in IS NULL OR pg_visible_in_snapshot(changed_in, %3$L)) '
            'UNION ALL SELECT r.* FROM public.row_version v '
            'CROSS JOIN LATERAL jsonb_populate_record(NULL::public.%1$I, v.row) r '
            'WHERE v.kind = %1$L AND v.valid_from <= %2$L AND (v.valid_to > %2$L '
            'OR %3$L::pg_snapshot IS NOT NULL AND NOT pg_visible_in_snapshot(v.replaced_in, %3$L)) '
            'AND (%3$L::pg_snapshot IS NULL OR r.changed_in IS NULL OR pg_visible_in_snapshot(r.changed_in, %3$L))',
            one.name, moment, seen);
        IF one.indexed_by IS NOT NULL THEN
            EXECUTE format('CREATE INDEX ON pg_temp.%I (%I)', one.name, one.indexed_by);
        END IF;
        EXECUTE format('ANALYZE pg_temp.%I', one.name);
    END LOOP;
    EXECUTE format('CREATE TEMPORARY TABLE schema_version ON COMMIT DROP AS '
                   'SELECT * FROM public.schema_version WHERE published_at <= %1$L '
                   'AND (%2$L::pg_snapshot IS NULL OR changed_in IS NULL OR pg_visible_in_snapshot(changed_in, %2$L))',
                   moment, seen);
    EXECUTE format('SET LOCAL olm.as_of = %L', moment);  -- for the views in the schema state
    -- Said in full, so that statements prepared before look for their tables anew.
    SET LOCAL search_path = pg_temp, public;
END
$$;

-- What was late goes with the samples it is about.
CREATE OR REPLACE FUNCTION drop_usage_before(wanted date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped integer := public.drop_days_before('public.usage_sample', wanted);
BEGIN
    DELETE FROM public.late_usage WHERE day < wanted;
    RETURN dropped;
END
$$;

-- Everything that is late, with each batch that has billed its day, and what became of it there: 'included' by the batch
-- itself, whose lines were computed after it came; 'settled' by a later batch, with a correction or for want of a difference;
-- or 'open'. A batch that is not done is not corrected: it is done later from what there is then, or begun anew. Batches of
-- apart_from do not count as later ones: they are about to be replaced.
CREATE FUNCTION late_usage_of(apart_from date DEFAULT NULL)
RETURNS TABLE (
    customer_no integer, object_no integer, counter_no smallint, day date, first_seen timestamptz, last_seen timestamptz,
    batch_date date, revision integer, marked_in xid8, state text
)
-- Without a search path of its own, so that what it is asked for reaches into it.
LANGUAGE sql STABLE AS $$
    WITH done AS (
        SELECT DISTINCT ON (t.batch_date) t.batch_date, t.revision, t.usage_day, s.snapshot, s.taken_at, s.bills_late
        FROM public.transfer t LEFT JOIN public.transfer_snapshot s USING (batch_date, revision)
        WHERE t.state = 'done' ORDER BY t.batch_date, t.revision DESC
    )
    SELECT l.customer_no, l.object_no, l.counter_no, l.day, l.first_seen, l.last_seen, u.batch_date, u.revision, l.marked_in,
           CASE WHEN pg_visible_in_snapshot(l.marked_in, u.snapshot) AND l.last_seen <= u.taken_at THEN 'included'
                WHEN EXISTS (
                    SELECT FROM public.batch_correction c JOIN done t ON (t.batch_date, t.revision) = (c.batch_date, c.revision)
                    WHERE c.corrects = u.batch_date AND c.corrects_revision = u.revision
                      AND c.batch_date IS DISTINCT FROM apart_from AND t.bills_late
                      AND pg_visible_in_snapshot(l.marked_in, t.snapshot) AND l.last_seen <= t.taken_at
                ) THEN 'settled' ELSE 'open' END
    FROM public.late_usage l JOIN done u ON u.usage_day = l.day
$$;

GRANT SELECT, INSERT ON usage_day_closed TO billing_engine;
GRANT SELECT, INSERT, UPDATE ON late_usage, transfer_snapshot TO billing_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON batch_correction TO billing_engine;
