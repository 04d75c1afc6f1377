-- A partition of the lines holds one revision. It is filled by itself and becomes part of batch_line when the revision is
-- whole: reports never meet half a revision, and one that is given up is dropped with its file instead of row by row.

ALTER TABLE batch_line RENAME TO batch_line_by_date;
CREATE TABLE batch_line (LIKE batch_line_by_date INCLUDING ALL) PARTITION BY RANGE (batch_date, revision);

CREATE FUNCTION line_table_name(day date, revision integer) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    RETURN 'batch_line_' || to_char(day, 'YYYY_MM_DD') || '_r' || revision;

-- The runtime role makes no tables. This lets it have the one kind it needs, and add to it until the revision is whole.
-- The date and the revision are the table's own: they need not travel with each row. The constraint says the same as the
-- bounds of the partition to be, so that attaching it reads nothing.
CREATE FUNCTION open_line_table(day date, revision integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    table_name text := line_table_name(day, revision);
BEGIN
    IF day < '2000-01-01' OR day >= '2200-01-01' THEN
        RAISE EXCEPTION 'batch date % is not between 2000 and 2199', day USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF to_regclass('public.' || table_name) IS NOT NULL THEN
        RETURN table_name;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('report_builder.open_line_table'));
    IF to_regclass('public.' || table_name) IS NOT NULL THEN
        RETURN table_name;
    END IF;
    IF NOT EXISTS (
        SELECT FROM batch b
        WHERE b.batch_date = day AND b.revision = open_line_table.revision AND b.state <> 'loaded'
    ) THEN
        RAISE EXCEPTION 'batch %, revision %, takes no lines', day, revision USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.batch_line INCLUDING ALL)', table_name);
    EXECUTE format(
        'ALTER TABLE public.%I ALTER COLUMN batch_date SET DEFAULT %L, ALTER COLUMN revision SET DEFAULT %L, '
        'ADD CONSTRAINT one_revision CHECK (batch_date = %L AND revision = %L)',
        table_name, day, revision, day, revision
    );
    EXECUTE format('GRANT INSERT ON public.%I TO report_builder', table_name);
    RETURN table_name;
END
$$;

-- From here on the revision's lines are read, and nobody adds to them. A revision without lines has no table.
CREATE FUNCTION attach_line_table(day date, revision integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    table_name text := line_table_name(day, revision);
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('public.' || table_name) AND NOT relispartition) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'ALTER TABLE public.batch_line ATTACH PARTITION public.%I FOR VALUES FROM (%L, %L) TO (%L, %L)',
        table_name, day, revision, day, revision + 1
    );
    EXECUTE format(
        'CREATE TRIGGER never_emptied BEFORE TRUNCATE ON public.%I EXECUTE FUNCTION public.refuse_change()', table_name
    );
    EXECUTE format('REVOKE INSERT ON public.%I FROM report_builder', table_name);
END
$$;

-- Everything of a revision that failed but the fact that it was there, and why it failed. It is begun anew if its chunks
-- come again.
CREATE FUNCTION drop_failed_batch(day date, revision integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    table_name text := line_table_name(day, revision);
BEGIN
    PERFORM FROM batch b
    WHERE b.batch_date = day AND b.revision = drop_failed_batch.revision AND b.state = 'failed' FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'batch %, revision %, did not fail', day, revision USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('public.' || table_name) AND NOT relispartition) THEN
        EXECUTE format('DROP TABLE public.%I', table_name);
    END IF;
    DELETE FROM batch_organisation b WHERE b.batch_date = day AND b.revision = drop_failed_batch.revision;
    DELETE FROM batch_allocation b WHERE b.batch_date = day AND b.revision = drop_failed_batch.revision;
    DELETE FROM batch_chunk b WHERE b.batch_date = day AND b.revision = drop_failed_batch.revision;
END
$$;

-- What belongs to a loaded batch stays, whoever asks; what belongs to another is never changed, but it may go.
CREATE FUNCTION refuse_change_of_loaded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT FROM public.batch b
        WHERE b.batch_date = OLD.batch_date AND b.revision = OLD.revision AND b.state = 'failed'
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% on %: a batch is history and never changes', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
DROP TRIGGER never_changes ON batch_chunk;
DROP TRIGGER never_changes ON batch_organisation;
DROP TRIGGER never_changes ON batch_allocation;
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON batch_chunk
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_loaded();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON batch_organisation
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_loaded();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON batch_allocation
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_loaded();

-- What is there already: the loaded revisions of a date stay together in the table they are in; one that is not whole gets
-- a table of its own, unless a later one was loaded: then it never will be.
DO $$
DECLARE
    old record;
    held record;
    newest integer;
BEGIN
    FOR old IN
        SELECT c.relname AS name, to_date(right(c.relname, 10), 'YYYY_MM_DD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'batch_line_by_date'::regclass
    LOOP
        EXECUTE format('ALTER TABLE batch_line_by_date DETACH PARTITION %I', old.name);
        SELECT max(revision) INTO newest FROM batch WHERE batch_date = old.day AND state = 'loaded';
        FOR held IN SELECT revision FROM batch WHERE batch_date = old.day AND state <> 'loaded' LOOP
            IF held.revision < newest THEN
                UPDATE batch SET state = 'failed', closed_at = now(),
                    reason = coalesce(reason, format('revision %s was loaded before it was whole', newest))
                WHERE batch_date = old.day AND revision = held.revision;
                PERFORM drop_failed_batch(old.day, held.revision);
            ELSE
                EXECUTE format(
                    'INSERT INTO %I SELECT * FROM %I WHERE revision = %L',
                    open_line_table(old.day, held.revision), old.name, held.revision
                );
            END IF;
            EXECUTE format('DELETE FROM %I WHERE revision = %L', old.name, held.revision);
        END LOOP;
        IF newest IS NULL THEN
            EXECUTE format('DROP TABLE %I', old.name);
        ELSE
            EXECUTE format(
                'ALTER TABLE batch_line ATTACH PARTITION %I FOR VALUES FROM (%L, MINVALUE) TO (%L, %L)',
                old.name, old.day, old.day, newest + 1
            );
        END IF;
    END LOOP;
END
$$;
DROP TABLE batch_line_by_date;
DROP FUNCTION ensure_line_partition(date);

CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON batch_line FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON batch_line EXECUTE FUNCTION refuse_change();

REVOKE ALL ON FUNCTION open_line_table(date, integer), attach_line_table(date, integer), drop_failed_batch(date, integer)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_line_table(date, integer), attach_line_table(date, integer),
    drop_failed_batch(date, integer) TO report_builder;
-- Not INSERT: lines are added to the table of a revision that is being loaded, and to no other.
GRANT SELECT ON batch_line TO report_builder;
