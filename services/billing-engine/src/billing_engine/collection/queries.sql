-- name: put_runs
-- Keep what was said of these runs.
INSERT INTO collection_run (source, run_id, state, started_at, finished_at, samples, objects, failure_count, places, kind,
                            customers_reached, customers_not_reached, customers_not_reached_count)
SELECT r.source, r.run_id, r.state, r.started_at, r.finished_at, r.samples, r.objects, r.failure_count,
       coalesce((SELECT array_agg(f ->> 'place') FROM jsonb_array_elements(r.failures) f), '{}'), r.kind,
       r.customers_reached, r.customers_not_reached,
       -- The list may be cut short, the number is not.
       greatest(r.customers_not_reached_count, cardinality(r.customers_not_reached))
FROM jsonb_to_recordset($1::jsonb) AS r (
    source text, run_id text, state text, started_at timestamptz, finished_at timestamptz, samples bigint, objects bigint,
    failure_count bigint, failures jsonb, kind text, customers_reached bigint, customers_not_reached text[],
    customers_not_reached_count bigint
)
ON CONFLICT (source, run_id) DO NOTHING

-- name: heard_of
-- Every source that had a run since $1, and the best that was heard of it since $2: succeeded, partial, failed or nothing.
SELECT source,
       CASE WHEN bool_or(state = 'succeeded' AND finished_at >= $2) THEN 'succeeded'
            WHEN bool_or(state = 'partial' AND finished_at >= $2) THEN 'partial'
            WHEN bool_or(finished_at >= $2) THEN 'failed' ELSE 'silent' END AS heard
FROM collection_run WHERE finished_at >= $1 AND kind = 'usage' GROUP BY source ORDER BY source COLLATE "C"

-- name: unreached
-- The places that the newest run of a source since $1 could not read.
SELECT DISTINCT source || ': ' || place AS place FROM (
    SELECT DISTINCT ON (source) source, places FROM collection_run
    WHERE finished_at >= $1 AND kind = 'usage' ORDER BY source, finished_at DESC
) newest CROSS JOIN LATERAL unnest(places) AS place ORDER BY 1 LIMIT 100

-- name: inventories
-- The newest reading of each source's inventory, whenever that was.
SELECT DISTINCT ON (source COLLATE "C") source, state, finished_at, customers_reached, customers_not_reached,
       customers_not_reached_count
FROM collection_run WHERE kind = 'inventory' ORDER BY source COLLATE "C", finished_at DESC

-- name: drop_runs_before
-- Forget the runs before $1, but for the newest of each source and kind; returns how many that were.
SELECT drop_runs_before($1)
