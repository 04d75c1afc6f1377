-- What every level of the sales tree pays for a line. Lines loaded before this have none: level_totals is null, and no
-- later line has that. So nothing of what is here already needs checking. The tables of revisions that are being loaded
-- are not part of batch_line yet, and get the columns too.

DO $$
DECLARE
    columns text := 'ADD COLUMN level_prices text COLLATE "C", ADD COLUMN level_totals text COLLATE "C", ADD COLUMN cost_total numeric';
    totals text := 'ADD CONSTRAINT level_totals_check CHECK (level_totals ~ ''^((-|-?[0-9.]+)( (-|-?[0-9.]+))*)?$'')';
    cost text := 'ADD CONSTRAINT cost_total_check CHECK (cost_total > ''-Infinity'' AND cost_total < ''Infinity'')';
    half text;
BEGIN
    EXECUTE format('ALTER TABLE public.batch_line %s, %s NOT VALID, %s NOT VALID', columns, totals, cost);
    FOR half IN
        SELECT c.relname FROM batch b JOIN pg_class c ON c.oid = to_regclass('public.' || line_table_name(b.batch_date, b.revision))
        WHERE NOT c.relispartition
    LOOP
        EXECUTE format('ALTER TABLE public.%I %s, %s, %s', half, columns, totals, cost);
    END LOOP;
END
$$;

-- What the organisation so many levels above the customer pays for a line, 0 being the customer itself: the one place that
-- knows how a line holds it. Null where that is not known: a level has no price, or the line is from before there were levels.
CREATE FUNCTION line_paid(level_totals text, total numeric, flags text, height integer) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN CASE
        WHEN height > 0 THEN (string_to_array(level_totals, ' ', '-'))[
            cardinality(string_to_array(level_totals, ' ', '-')) + 1 - height]::numeric
        WHEN 'no_price' = ANY (string_to_array(flags, ' ')) AND NOT 'non_billable' = ANY (string_to_array(flags, ' ')) THEN NULL
        ELSE total
    END;
