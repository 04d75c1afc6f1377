-- Measured values, one row per object, counter and moment, in a partition per day.

CREATE TABLE counter (
    counter_no smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE
);

CREATE TABLE usage_sample (
    day         date        NOT NULL,
    customer_no integer     NOT NULL,
    object_no   integer     NOT NULL,
    counter_no  smallint    NOT NULL,
    measured_at timestamptz NOT NULL,
    value       numeric     NOT NULL,
    stated_at   timestamptz NOT NULL,
    source_id   integer     NOT NULL,
    PRIMARY KEY (customer_no, object_no, counter_no, measured_at, day)
) PARTITION BY RANGE (day);

-- Samples of objects nobody has told of yet; they move to usage_sample when the object appears.
CREATE TABLE parked_sample (
    object_id   text        NOT NULL,
    counter_no  smallint    NOT NULL,
    measured_at timestamptz NOT NULL,
    day         date        NOT NULL,
    value       numeric     NOT NULL,
    stated_at   timestamptz NOT NULL,
    source_id   integer     NOT NULL,
    PRIMARY KEY (object_id, counter_no, measured_at, day)
);

-- The runtime role may not create tables; this is the one door, and it only opens on days.
CREATE FUNCTION ensure_usage_day(wanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition_name text := 'usage_sample_' || to_char(wanted, 'YYYYMMDD');
BEGIN
    IF to_regclass('public.' || partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('usage_sample'), hashtext(partition_name));
    IF to_regclass('public.' || partition_name) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.usage_sample FOR VALUES FROM (%L) TO (%L)',
                       partition_name, wanted, wanted + 1);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION ensure_usage_day(date) FROM PUBLIC;

GRANT SELECT, INSERT ON counter TO billing_engine;
GRANT SELECT, INSERT, UPDATE ON usage_sample TO billing_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON parked_sample TO billing_engine;
GRANT EXECUTE ON FUNCTION ensure_usage_day(date) TO billing_engine;
