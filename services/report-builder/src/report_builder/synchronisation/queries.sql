-- name: note_run
-- What one source said of its reading of inventories; the first word of it counts.
INSERT INTO inventory_run (
    run_id, source, state, started_at, finished_at, objects, customers_reached, not_reached, not_reached_count, failure_count
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT DO NOTHING

-- name: run
-- A run, or the last one that was finished before a moment, with all its sources.
SELECT run_id, source, state, started_at, finished_at, objects, customers_reached, not_reached, not_reached_count,
    failure_count
FROM inventory_run
WHERE run_id = coalesce(
    $1::text, (SELECT run_id FROM inventory_run WHERE finished_at < $2 ORDER BY finished_at DESC, run_id DESC LIMIT 1)
)
ORDER BY source

-- name: runs
-- The latest runs, newest first.
SELECT run_id, min(started_at) AS started_at, max(finished_at) AS finished_at, count(*) AS sources,
    sum(objects)::bigint AS objects, sum(customers_reached)::bigint AS customers_reached,
    sum(not_reached_count)::bigint AS customers_not_reached
FROM inventory_run
GROUP BY run_id
ORDER BY max(finished_at) DESC, run_id DESC
LIMIT $1
