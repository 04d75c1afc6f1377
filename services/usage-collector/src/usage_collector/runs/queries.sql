-- name: queue_run
-- Somebody wants a source read; asking twice under one id is asking once.
INSERT INTO run (run_id, source, state) VALUES (?, ?, 'queued') ON CONFLICT (run_id, source) DO NOTHING

-- name: next_queued
-- The oldest run of a source that waits.
SELECT run_id, started_at, samples, objects, failure_count, failures FROM run
WHERE source = ? AND state = 'queued' ORDER BY number LIMIT 1

-- name: queue_interrupted
-- Runs that were under way when the collector ended go on where they were.
UPDATE run SET state = 'queued' WHERE state = 'running'

-- name: orphans
-- Waiting runs, to be failed when their source is not configured any more.
SELECT run_id, source, started_at, samples, objects, failure_count, failures FROM run
WHERE state IN ('queued', 'running')

-- name: record_progress
-- What a run has done so far.
INSERT INTO run (run_id, source, state, started_at, samples, objects, failure_count, failures)
VALUES (:run_id, :source, 'running', :started_at, :samples, :objects, :failure_count, :failures)
ON CONFLICT (run_id, source) DO UPDATE SET state = 'running', started_at = excluded.started_at,
    samples = excluded.samples, objects = excluded.objects,
    failure_count = excluded.failure_count, failures = excluded.failures

-- name: finish_run
-- The run is over.
UPDATE run SET state = ?, finished_at = ? WHERE run_id = ? AND source = ?

-- name: purge_runs
-- Forget the runs that ended before this moment.
DELETE FROM run WHERE finished_at < ?

-- name: last_started
-- When a source was last read.
SELECT max(started_at) AS at FROM run WHERE source = ?

-- name: last_runs
-- The newest runs first.
SELECT * FROM run ORDER BY number DESC LIMIT ?

-- name: destination_of
-- Where a file went that was taken before; nothing when it was not.
SELECT destination FROM taken_file WHERE source = ? AND name = ? AND sha256 = ?

-- name: record_taken
-- The file was taken: by the transaction that spools what was in it.
INSERT INTO taken_file (source, name, sha256, destination, run_id, taken_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: accept_request
-- Remember a request's event; no row changes when it is known.
INSERT INTO request (source, event_id, received_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- name: purge_requests
-- Forget requests that came before this moment.
DELETE FROM request WHERE received_at < ?
