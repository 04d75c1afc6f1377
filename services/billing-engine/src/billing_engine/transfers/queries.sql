-- name: lock_date
-- Whoever decides about a date's transfer decides alone.
SELECT pg_advisory_xact_lock(hashtext('tallyport.transfer'), $1::date - date '2000-01-01')

-- name: newest_transfer
-- The newest revision of a date.
SELECT * FROM transfer WHERE batch_date = $1 ORDER BY revision DESC LIMIT 1

-- name: transfers
-- The newest revision of each of the latest dates.
SELECT DISTINCT ON (batch_date) * FROM transfer WHERE $1::date IS NULL OR batch_date < $1
ORDER BY batch_date DESC, revision DESC LIMIT $2

-- name: steps
-- A transfer's steps.
SELECT name, state, rows, done, expected, started_at, finished_at FROM transfer_step WHERE batch_date = $1 AND revision = $2

-- name: running
-- Transfers that have work to do here, oldest first; one that waits for the warehouse has none.
SELECT batch_date, revision FROM transfer WHERE state = 'running' AND step <> 'await-warehouse'
ORDER BY batch_date, revision

-- name: create_transfer
-- A new run.
INSERT INTO transfer (batch_date, revision, usage_day, state, step, requested_by, requested_at, as_of)
VALUES ($1, $2, $3, 'running', 'freeze-usage', $4, $5, $6)

-- name: create_transfer_after
-- A new run of the same date in the place of one that was interrupted.
INSERT INTO transfer (batch_date, revision, usage_day, state, step, requested_by, requested_at, as_of)
SELECT batch_date, $3, usage_day, 'running', 'freeze-usage', requested_by, $4, as_of FROM transfer
WHERE batch_date = $1 AND revision = $2

-- name: create_steps
-- Its steps, none taken yet.
INSERT INTO transfer_step (batch_date, revision, name, state) SELECT $1, $2, unnest($3::text[]), 'waiting'

-- name: resume_transfer
-- A failed run goes on from a step.
UPDATE transfer SET state = 'running', step = $3, reason = NULL WHERE batch_date = $1 AND revision = $2

-- name: reset_steps
-- The steps from which it goes on are waiting again.
UPDATE transfer_step SET state = 'waiting', rows = 0, done = NULL, expected = NULL, started_at = NULL, finished_at = NULL
WHERE batch_date = $1 AND revision = $2 AND name = ANY ($3::text[])

-- name: run_step
-- A step begins, or goes on.
UPDATE transfer_step SET state = 'running', started_at = coalesce(started_at, $4), finished_at = NULL
WHERE batch_date = $1 AND revision = $2 AND name = $3

-- name: step_rows
-- How many rows the running step has handled, and how far it is.
UPDATE transfer_step SET rows = $4, done = $5, expected = $6 WHERE batch_date = $1 AND revision = $2 AND name = $3

-- name: finish_step
-- A step is done.
UPDATE transfer_step SET state = 'done', rows = $4, done = expected, finished_at = $5 WHERE batch_date = $1 AND revision = $2 AND name = $3

-- name: enter_step
-- The transfer is at this step now.
UPDATE transfer SET step = $3 WHERE batch_date = $1 AND revision = $2 AND state = 'running'

-- name: fail_transfer
-- Red, with the reason.
UPDATE transfer SET state = 'failed', reason = $3 WHERE batch_date = $1 AND revision = $2 AND state = 'running'

-- name: fail_steps
-- The step under way failed with it.
UPDATE transfer_step SET state = 'failed', finished_at = $3 WHERE batch_date = $1 AND revision = $2 AND state = 'running'

-- name: complete_transfer
-- Green: the warehouse has it whole.
UPDATE transfer SET state = 'done' WHERE batch_date = $1 AND revision = $2 AND state = 'running' AND step = 'await-warehouse'

-- name: previous_batch
-- The batch before this date, to which the new one is chained.
SELECT DISTINCT ON (batch_date) batch_date, revision, sha256 FROM transfer
WHERE batch_date < $1 AND state = 'done' ORDER BY batch_date DESC, revision DESC LIMIT 1

-- name: mark_frozen_at
-- Lines are about to be frozen; the rest is to come from the same snapshot, or never. Nothing if the transfer was stopped.
UPDATE transfer SET frozen_at = coalesce(frozen_at, $3) WHERE batch_date = $1 AND revision = $2 AND state = 'running'
RETURNING true

-- name: is_running
-- Whether a revision is still wanted.
SELECT state = 'running' FROM transfer WHERE batch_date = $1 AND revision = $2

-- name: record_lines
-- What was computed; from here on all the revision's lines are frozen.
UPDATE transfer SET frozen_at = $3, chunks = $4, lines = $5, sha256 = $6, previous_date = $7, previous_revision = $8,
                    previous_sha256 = $9, totals = $10, completeness = $11
WHERE batch_date = $1 AND revision = $2

-- name: knowledge_begins
-- Since when anything is known of the tree; null while nothing is.
SELECT least((SELECT min(changed_at) FROM organisation), (SELECT min(valid_from) FROM row_version WHERE kind = 'organisation'))

-- name: travel_to
-- Let this transaction see the directory, the catalogue and the schemas as they were, as far as the snapshot $2 has seen them.
SELECT travel_to($1, $2::text::pg_snapshot)

-- name: dates_since
-- Each date that has a transfer, from $1: whether it has a batch, and how its newest revision stands.
SELECT batch_date, bool_or(state = 'done') AS has_batch, (array_agg(state ORDER BY revision DESC))[1] AS state
FROM transfer WHERE batch_date >= $1 GROUP BY batch_date

-- name: drop_usage_before
-- Forget the samples of the days before $1; returns how many days that were.
SELECT drop_usage_before($1)

-- name: drop_versions_before
-- Forget what was replaced before $1.
SELECT drop_versions_before($1)

-- name: drop_batches_before
-- Forget the frozen lines of the dates before $1.
SELECT drop_batches_before($1)

-- name: ensure_batch_date
-- Make room for a date's chunks.
SELECT ensure_batch_date($1)

-- name: put_chunk
-- Freeze a chunk.
INSERT INTO batch_chunk (batch_date, revision, sequence, kind, first_key, row_count, sha256, rows)
VALUES ($1, $2, $3, $4, $5, $6, decode($7, 'hex'), $8)

-- name: chunks_to_publish
-- The frozen bytes, in order.
SELECT sequence, kind, first_key, row_count, encode(sha256, 'hex') AS sha256, rows FROM batch_chunk
WHERE batch_date = $1 AND revision = $2 AND sequence > $3 ORDER BY sequence LIMIT $4

-- name: recompute_chunk_hashes
-- Hash the frozen bytes anew, beside what was noted when they were frozen.
SELECT sequence, kind, first_key, row_count, encode(sha256, 'hex') AS noted, encode(sha256(rows), 'hex') AS sha256
FROM batch_chunk WHERE batch_date = $1 AND revision = $2 ORDER BY sequence

-- name: batches
-- The finished batches of a period, newest revision of each date, for the chain.
SELECT batch_date, revision, lines, chunks, sha256, previous_date, previous_revision, previous_sha256, totals
FROM transfer
WHERE state = 'done' AND batch_date BETWEEN $1 AND $2
  AND ($3::date IS NULL OR (batch_date, revision) > ($3, $4::integer))
ORDER BY batch_date, revision LIMIT $5

-- name: batch
-- One finished revision.
SELECT batch_date, revision, chunks, sha256, previous_sha256 FROM transfer WHERE batch_date = $1 AND revision = $2

-- name: let_go_at
-- When retention let go of the lines of a revision, if it did: what was frozen after that is another matter.
SELECT g.let_go_at FROM batch_let_go g JOIN transfer t USING (batch_date)
WHERE t.batch_date = $1 AND t.revision = $2 AND t.frozen_at <= g.let_go_at

-- name: lateness
-- For the completeness statement: dead letters and conflicts among usage since a moment.
SELECT count(*) FILTER (WHERE reason NOT LIKE 'conflict:%') AS dead, count(*) FILTER (WHERE reason LIKE 'conflict:%') AS conflicts
FROM dead_letter WHERE topic = 'usage.samples' AND set_aside_at >= $1
