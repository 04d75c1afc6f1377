-- name: schedules
-- Those of an organisation, or all, after one of them if it is named.
SELECT * FROM report_schedule
WHERE ($1::text IS NULL OR owner = $1) AND ($2::text IS NULL OR name > $2::text COLLATE "C")
ORDER BY name
LIMIT $3

-- name: lock_schedule
-- One schedule, held until the end of the transaction.
SELECT * FROM report_schedule WHERE name = $1 FOR UPDATE

-- name: put_schedule
-- Make this the schedule of that name.
INSERT INTO report_schedule (
    name, kind, format, organisation, language, period, every, day, at, zone, synchronise_minutes, active, owner,
    changed_by, changed_at, next_due_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (name) DO UPDATE SET
    kind = excluded.kind, format = excluded.format, organisation = excluded.organisation, language = excluded.language,
    period = excluded.period, every = excluded.every, day = excluded.day, at = excluded.at, zone = excluded.zone,
    synchronise_minutes = excluded.synchronise_minutes, active = excluded.active, changed_by = excluded.changed_by,
    changed_at = excluded.changed_at, next_due_at = excluded.next_due_at

-- name: delete_schedule
-- It asks for nothing more; what it asked for stays.
DELETE FROM report_schedule WHERE name = $1

-- name: take_due
-- A schedule that is due, held until the end of the transaction; others look past it.
SELECT * FROM report_schedule
WHERE active AND next_due_at <= $1
ORDER BY next_due_at, name
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: move_on
-- When it is due next.
UPDATE report_schedule SET next_due_at = $2 WHERE name = $1

-- name: next_due
-- When any schedule is due next, or a synchronisation is waited for no longer.
SELECT least(
    (SELECT min(next_due_at) FROM report_schedule WHERE active),
    (SELECT min(deadline) FROM report_schedule_run WHERE state = 'synchronising')
)

-- name: begin_run
-- A report is due; nothing comes back where that was noted before.
INSERT INTO report_schedule_run (schedule, due_at, report_id, request, owner, state, expected, deadline)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING report_id

-- name: waiting_run
-- A run that waits for the collectors and is looked at now, held until the end of the transaction; others look past it.
SELECT * FROM report_schedule_run
WHERE state = 'synchronising' AND (deadline <= $1 OR (expected <> '{}' AND expected <@ ARRAY(SELECT jsonb_object_keys(heard))))
ORDER BY due_at
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: end_run
-- The report was asked for, or refused, and why.
UPDATE report_schedule_run SET state = $3, outcome = $4 WHERE schedule = $1 AND due_at = $2

-- name: runs
-- The latest runs of a schedule.
SELECT due_at, report_id, state, outcome FROM report_schedule_run WHERE schedule = $1 ORDER BY due_at DESC LIMIT $2

-- name: hear
-- A source was read because a run asked for it.
UPDATE report_schedule_run SET heard = heard || jsonb_build_object($2::text, $3::text)
WHERE report_id = $1 AND state = 'synchronising'

-- name: note_source
-- A source was heard of.
INSERT INTO collection_source (source, heard_at) VALUES ($1, $2)
ON CONFLICT (source) DO UPDATE SET heard_at = greatest(collection_source.heard_at, excluded.heard_at)

-- name: sources_since
-- The sources that were heard of since a moment.
SELECT source FROM collection_source WHERE heard_at >= $1 ORDER BY source
