-- The state as it was. A missed batch is computed from what the engine knew then, so every row of the directory and the
-- catalogue says since when it is so, and what it said before is kept, from valid_from (inclusive) to valid_to (exclusive).
-- Rows that are older than this migration are taken to have been so always. Nobody changes a version; the runtime role
-- cannot even write one: the triggers do.

CREATE TABLE row_version (
    customer_no integer     NOT NULL,  -- 0: of no customer
    version_no  bigint      GENERATED ALWAYS AS IDENTITY,
    kind        text        NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz NOT NULL,
    row         jsonb       NOT NULL,
    PRIMARY KEY (customer_no, version_no)
);
CREATE INDEX row_version_kind ON row_version (kind, valid_to);

CREATE TABLE versioned_table (
    name       text PRIMARY KEY,
    indexed_by text  -- what a travelled table is joined and filtered by, where it can be large
);

CREATE FUNCTION stamp_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_at := now();
    RETURN NEW;
END
$$;

CREATE FUNCTION keep_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- What a transaction says and takes back was never so.
    INSERT INTO row_version (customer_no, kind, valid_from, valid_to, row)
    SELECT coalesce((o.row ->> 'customer_no')::int, (o.row ->> 'organisation_no')::int, 0), TG_TABLE_NAME,
           (o.row ->> 'changed_at')::timestamptz, now(), o.row
    FROM (SELECT to_jsonb(before) AS row FROM before) o
    WHERE (o.row ->> 'changed_at')::timestamptz < now();
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION keep_version() FROM PUBLIC;

-- Begins to keep the versions of a table; the owner's, for migrations.
CREATE FUNCTION keep_versions_of(wanted text, indexed_by text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE public.%I ADD COLUMN changed_at timestamptz NOT NULL DEFAULT ''-infinity''', wanted);
    EXECUTE format('ALTER TABLE public.%I ALTER COLUMN changed_at SET DEFAULT now()', wanted);
    EXECUTE format('CREATE TRIGGER stamp_change BEFORE UPDATE ON public.%I '
                   'FOR EACH ROW EXECUTE FUNCTION public.stamp_change()', wanted);
    EXECUTE format('CREATE TRIGGER keep_updated AFTER UPDATE ON public.%I REFERENCING OLD TABLE AS before '
                   'FOR EACH STATEMENT EXECUTE FUNCTION public.keep_version()', wanted);
    EXECUTE format('CREATE TRIGGER keep_deleted AFTER DELETE ON public.%I REFERENCING OLD TABLE AS before '
                   'FOR EACH STATEMENT EXECUTE FUNCTION public.keep_version()', wanted);
    INSERT INTO public.versioned_table VALUES (wanted, indexed_by);
END
$$;
REVOKE EXECUTE ON FUNCTION keep_versions_of(text, text) FROM PUBLIC;

SELECT keep_versions_of('organisation');
SELECT keep_versions_of('site');
SELECT keep_versions_of('service_instance', 'customer_no');
SELECT keep_versions_of('subscription', 'customer_no');
SELECT keep_versions_of('application', 'customer_no');
SELECT keep_versions_of('inventory');
SELECT keep_versions_of('service');
SELECT keep_versions_of('service_counter');
SELECT keep_versions_of('plan');
SELECT keep_versions_of('plan_property');
SELECT keep_versions_of('plan_override');
SELECT keep_versions_of('non_billable_rule');

-- Puts the versioned tables, as they were at a moment, before the present ones until the transaction ends: the statements
-- that compute today's batch then compute that moment's.
CREATE FUNCTION travel_to(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    SET LOCAL search_path = public;
    FOR one IN SELECT name, indexed_by FROM public.versioned_table ORDER BY name LOOP
        EXECUTE format(
            'CREATE TEMPORARY TABLE %1$I ON COMMIT DROP AS '
            'SELECT * FROM public.%1$I WHERE changed_at <= %2$L '
            'UNION ALL SELECT (jsonb_populate_record(NULL::public.%1$I, v.row)).* FROM public.row_version v '
            'WHERE v.kind = %1$L AND v.valid_from <= %2$L AND v.valid_to > %2$L', one.name, moment);
        IF one.indexed_by IS NOT NULL THEN
            EXECUTE format('CREATE INDEX ON pg_temp.%I (%I)', one.name, one.indexed_by);
        END IF;
        EXECUTE format('ANALYZE pg_temp.%I', one.name);
    END LOOP;
    EXECUTE format('CREATE TEMPORARY TABLE schema_version ON COMMIT DROP AS '
                   'SELECT * FROM public.schema_version WHERE published_at <= %L', moment);
    EXECUTE format('SET LOCAL olm.as_of = %L', moment);  -- for the views in the schema state
    -- Said in full, so that statements prepared before look for their tables anew.
    SET LOCAL search_path = pg_temp, public;
END
$$;

ALTER TABLE transfer ADD COLUMN as_of timestamptz;

-- How far a step is, where that can be said: customers of all customers, rows of all rows.
ALTER TABLE transfer_step ADD COLUMN done bigint, ADD COLUMN expected bigint, ADD CHECK (done <= expected);

-- Retention. The runtime role can neither drop nor delete; these are the doors, and they do not open on the last weeks.
CREATE FUNCTION drop_days_before(parent regclass, wanted date) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    old text;
    dropped integer := 0;
BEGIN
    IF wanted > current_date - 35 THEN
        RAISE EXCEPTION 'retention must leave at least 35 days; % is later than %', wanted, current_date - 35
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR old IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = parent AND c.relname ~ '_[0-9]{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') < wanted
    LOOP
        EXECUTE format('DROP TABLE public.%I', old);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
REVOKE EXECUTE ON FUNCTION drop_days_before(regclass, date) FROM PUBLIC;

CREATE FUNCTION drop_usage_before(wanted date) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT public.drop_days_before('public.usage_sample', wanted) $$;

CREATE FUNCTION drop_batches_before(wanted date) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT public.drop_days_before('public.batch_chunk', wanted) $$;

CREATE FUNCTION drop_versions_before(wanted date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped bigint;
BEGIN
    IF wanted > current_date - 35 THEN
        RAISE EXCEPTION 'retention must leave at least 35 days; % is later than %', wanted, current_date - 35
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM public.row_version WHERE valid_to < wanted;
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END
$$;

REVOKE EXECUTE ON FUNCTION drop_usage_before(date), drop_batches_before(date), drop_versions_before(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_usage_before(date), drop_batches_before(date), drop_versions_before(date) TO billing_engine;
GRANT SELECT ON row_version, versioned_table TO billing_engine;
