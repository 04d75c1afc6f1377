-- name: lock_late
-- Whoever decides what a batch takes over from earlier dates decides alone.
SELECT pg_advisory_xact_lock(hashtext('tallyport.late'))

-- name: current_snapshot
-- What the caller's transaction sees, and the present moment.
SELECT pg_current_snapshot()::text AS snapshot, clock_timestamp() AS taken_at

-- name: another_bills_late
-- Whether a transfer of another date is under way that bills what came late.
SELECT EXISTS (
    SELECT FROM transfer t JOIN transfer_snapshot s USING (batch_date, revision)
    WHERE t.state = 'running' AND s.bills_late AND t.batch_date <> $1
)

-- name: put_snapshot
-- What the revision is computed from.
INSERT INTO transfer_snapshot (batch_date, revision, snapshot, taken_at, bills_late) VALUES ($1, $2, $3::text::pg_snapshot, $4, $5)
ON CONFLICT (batch_date, revision) DO UPDATE SET
    snapshot = excluded.snapshot, taken_at = excluded.taken_at, bills_late = excluded.bills_late, extra = 0,
    first_extra_chunk = NULL

-- name: put_extra
-- How many of the revision's lines are about something else than its own usage day.
UPDATE transfer_snapshot SET extra = extra + $3, first_extra_chunk = coalesce(first_extra_chunk, $4) WHERE batch_date = $1 AND revision = $2

-- name: taken_over_since
-- The newest date, but for $1, whose batch was computed after that of $1, revision $2, and has taken over what that one has
-- and never delivered; null if there is none, or nothing to take over.
SELECT max(t.batch_date) FROM transfer_snapshot mine
JOIN transfer_snapshot s ON s.batch_date <> mine.batch_date AND s.taken_at > mine.taken_at AND s.bills_late
JOIN transfer t ON (t.batch_date, t.revision) = (s.batch_date, s.revision) AND t.state IN ('running', 'done')
WHERE mine.batch_date = $1 AND mine.revision = $2 AND mine.extra > 0

-- name: anything_late
-- Usually there is nothing, and that is all that is asked.
SELECT EXISTS (SELECT FROM late_usage)

-- name: drop_corrections
-- The revision begins anew.
DELETE FROM batch_correction WHERE batch_date = $1 AND revision = $2

-- name: open_batches
-- The batches between $2 and $1 that late usage was found for, as far as the snapshot $3 has seen it, with the customers and
-- the moment whose state each was computed from.
SELECT l.batch_date, l.revision, l.day AS usage_day, coalesce(t.as_of, s.taken_at, t.frozen_at) AS moment,
       s.snapshot::text AS snapshot, array_agg(DISTINCT l.customer_no) AS customers
FROM late_usage_of($1) l
JOIN transfer t USING (batch_date, revision)
LEFT JOIN transfer_snapshot s USING (batch_date, revision)
WHERE l.state = 'open' AND l.batch_date >= $2 AND l.batch_date < $1 AND pg_visible_in_snapshot(l.marked_in, $3::text::pg_snapshot)
GROUP BY l.batch_date, l.revision, l.day, moment, s.snapshot::text
ORDER BY l.batch_date

-- name: put_correction
-- The revision looks at a batch.
INSERT INTO batch_correction (batch_date, revision, corrects, corrects_revision) VALUES ($1, $2, $3, $4)

-- name: note_chunks
-- Where the corrections of that batch are, one chunk after the other.
UPDATE batch_correction SET first_chunk = coalesce(first_chunk, $4), last_chunk = $4 + $5 - 1
WHERE batch_date = $1 AND revision = $2 AND corrects = $3

-- name: too_late
-- What was found for the batches before $2 and is not billed any more: how much, and of which days.
SELECT count(*) AS marks, coalesce(array_agg(DISTINCT day::text ORDER BY day::text), '{}') AS days
FROM late_usage_of($1) WHERE state = 'open' AND batch_date < $2

-- name: customers_of
-- These customers, as reports order them.
SELECT customer_no, id FROM work_customer WHERE customer_no = ANY ($1::int[]) ORDER BY rank

-- name: marks
-- What is late of the customers $3 for the batch $2, unless a later batch than $1 has it.
SELECT b.id AS object_id, array_agg(c.name) AS counters
FROM late_usage_of($1) l JOIN billable_object b USING (object_no) JOIN counter c USING (counter_no)
WHERE l.state = 'open' AND l.batch_date = $2 AND l.customer_no = ANY ($3::int[])
GROUP BY b.id

-- name: places
-- To which customer and service each of the objects $1 belongs, among the customers $2.
WITH thing AS (
    SELECT customer_no, id, service FROM service_instance WHERE customer_no = ANY ($2::int[]) AND removed_at IS NULL
    UNION ALL
    SELECT s.customer_no, s.id, i.service
    FROM subscription s JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE s.customer_no = ANY ($2::int[]) AND s.removed_at IS NULL
    UNION ALL
    SELECT a.customer_no, a.id, i.service
    FROM application a
    JOIN subscription s ON s.customer_no = a.customer_no AND s.object_no = a.subscription_no
    JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE a.customer_no = ANY ($2::int[]) AND a.removed_at IS NULL
)
SELECT t.id AS object_id, c.id AS customer_id, t.service FROM thing t JOIN work_customer c USING (customer_no)
WHERE t.id = ANY ($1::text[])

-- name: frozen_chunks
-- The chunks of lines that can hold something of the customers $3. Ordinary lines are in the customers' order; what stands
-- after them is about other dates.
WITH chunk AS (
    SELECT sequence, first_key COLLATE "C" AS first_key, lead(first_key) OVER (ORDER BY sequence) COLLATE "C" AS next_key
    FROM batch_chunk
    WHERE batch_date = $1 AND revision = $2 AND kind = 'lines' AND sequence < coalesce(
        (SELECT first_extra_chunk FROM transfer_snapshot WHERE batch_date = $1 AND revision = $2), 2147483647)
)
SELECT $1::date, $2::int, sequence FROM chunk c
WHERE EXISTS (
    SELECT FROM unnest($3::text[]) AS wanted (id)
    WHERE wanted.id COLLATE "C" >= c.first_key AND (c.next_key IS NULL OR wanted.id COLLATE "C" <= c.next_key)
)
ORDER BY c.sequence

-- name: billed_chunks
-- The chunks in which done batches of other dates than $1 correct the batch $2.
WITH done AS (
    SELECT DISTINCT ON (batch_date) batch_date, revision FROM transfer WHERE state = 'done' ORDER BY batch_date, revision DESC
)
SELECT b.batch_date, b.revision, b.sequence FROM batch_correction c JOIN done USING (batch_date, revision)
JOIN batch_chunk b ON b.batch_date = c.batch_date AND b.revision = c.revision AND b.sequence BETWEEN c.first_chunk AND c.last_chunk
WHERE c.batch_date <> $1 AND c.corrects = $2
ORDER BY c.batch_date, b.sequence

-- name: chunk
-- The frozen bytes of one chunk.
SELECT rows FROM batch_chunk WHERE batch_date = $1 AND revision = $2 AND sequence = $3

-- name: waiting
-- How much is late for each batch after $1 and not settled yet: the next batch looks at it.
SELECT batch_date, count(*) AS measured FROM late_usage_of(NULL) WHERE batch_date > $1 AND state = 'open' GROUP BY batch_date

-- name: late_usage
-- What is late, by day and batch, and what became of it; $1 is the newest date whose lines are not corrected any more.
SELECT l.day, l.batch_date, l.revision,
       CASE WHEN l.state = 'open' THEN CASE WHEN l.batch_date <= $1 THEN 'too_late' ELSE 'waiting' END ELSE l.state END AS state,
       count(*) AS measured, count(DISTINCT l.customer_no) AS customers, min(l.first_seen) AS first_seen, max(l.last_seen) AS last_seen
FROM late_usage_of(NULL) l
WHERE l.day >= $2 AND l.state <> 'included'
GROUP BY 1, 2, 3, 4 ORDER BY 1 DESC, 2 DESC, 4 LIMIT $3
