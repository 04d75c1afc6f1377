-- What collectors say of reading an inventory, how long runs are kept, and which batches' lines retention let go.

ALTER TABLE collection_run
    ADD COLUMN kind text NOT NULL DEFAULT 'usage' CHECK (kind IN ('usage', 'inventory')),
    ADD COLUMN customers_reached bigint NOT NULL DEFAULT 0 CHECK (customers_reached >= 0),
    ADD COLUMN customers_not_reached text[] NOT NULL DEFAULT '{}',
    ADD COLUMN customers_not_reached_count bigint NOT NULL DEFAULT 0 CHECK (customers_not_reached_count >= 0);

-- The newest of each source and kind stays, whatever its age: it says since when nothing was heard.
CREATE FUNCTION drop_runs_before(wanted date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped bigint;
BEGIN
    IF wanted > current_date - 35 THEN
        RAISE EXCEPTION 'retention must leave at least 35 days; % is later than %', wanted, current_date - 35
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM public.collection_run r WHERE finished_at < wanted AND EXISTS (
        SELECT FROM public.collection_run n
        WHERE n.source = r.source AND n.kind = r.kind AND (n.finished_at, n.run_id) > (r.finished_at, r.run_id)
    );
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END
$$;
REVOKE EXECUTE ON FUNCTION drop_runs_before(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_runs_before(date) TO billing_engine;

-- Dates whose frozen lines were let go. Only retention writes here, and it lets nothing of the last weeks go, so that lines
-- which are missing for another reason are told from these.
CREATE TABLE batch_let_go (
    batch_date date        PRIMARY KEY,
    let_go_at  timestamptz NOT NULL
);
GRANT SELECT ON batch_let_go TO billing_engine;
INSERT INTO batch_let_go (batch_date, let_go_at)
SELECT DISTINCT batch_date, now() FROM transfer
WHERE sha256 IS NOT NULL AND batch_date < current_date - 35
  AND to_regclass('public.batch_chunk_' || to_char(batch_date, 'YYYYMMDD')) IS NULL;

CREATE OR REPLACE FUNCTION drop_batches_before(wanted date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    there date[] := ARRAY(
        SELECT DISTINCT batch_date FROM public.transfer
        WHERE batch_date < wanted AND to_regclass('public.batch_chunk_' || to_char(batch_date, 'YYYYMMDD')) IS NOT NULL
    );
    dropped integer := public.drop_days_before('public.batch_chunk', wanted);
BEGIN
    INSERT INTO public.batch_let_go (batch_date, let_go_at) SELECT unnest(there), now()
    ON CONFLICT (batch_date) DO UPDATE SET let_go_at = EXCLUDED.let_go_at;
    RETURN dropped;
END
$$;
