-- name: insert_report
-- A new request; nothing comes back when the id is known.
INSERT INTO report (
    report_id, kind, format, from_date, to_date, organisation, language, state, reason, correlation_id, requested_at,
    finished_at, asked_by, asker_organisation, visible_to, remarks
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT DO NOTHING
RETURNING report_id

-- name: report
-- One report.
SELECT * FROM report WHERE report_id = $1

-- name: lock_report
-- One report, held until the end of the transaction.
SELECT * FROM report WHERE report_id = $1 FOR UPDATE

-- name: reports
-- The latest reports, after one of them if it is named; those that an organisation may see, or all.
SELECT * FROM report
WHERE ($2::text IS NULL OR $2 = ANY (visible_to))
    AND ($3::timestamptz IS NULL OR (requested_at, report_id) < ($3, $4::text COLLATE "C"))
ORDER BY requested_at DESC, report_id DESC
LIMIT $1

-- name: parts
-- The artifacts of some reports, in order.
SELECT report_id, key, uri, size, sha256, rows FROM report_part WHERE report_id = ANY ($1::text[])
ORDER BY report_id, number

-- name: open_reports
-- What is to be rendered, oldest first; those that others are rendering are found out by their locks.
SELECT report_id FROM report WHERE state IN ('requested', 'rendering') ORDER BY requested_at, report_id LIMIT 50

-- name: take
-- Be the only one who renders this report. The lock ends with the session, so a killed process gives it up at once.
SELECT pg_try_advisory_lock(hashtext('report_builder.report'), hashtext($1))

-- name: give_back
-- Let others render it.
SELECT pg_advisory_unlock(hashtext('report_builder.report'), hashtext($1))

-- name: begin_rendering
-- Count the attempt and fix what the report is made from; what an earlier attempt fixed stays.
UPDATE report
SET state = 'rendering', attempts = attempts + 1, rows_done = 0, reason = NULL,
    missing = CASE WHEN batches IS NULL THEN $3 ELSE missing END,
    completeness = CASE WHEN batches IS NULL THEN $4 ELSE completeness END,
    visible_to = CASE WHEN batches IS NULL THEN $5 ELSE visible_to END,
    batches = coalesce(batches, $2)
WHERE report_id = $1 AND state IN ('requested', 'rendering')

-- name: progress
-- How far it is.
UPDATE report SET rows_done = $2, rows_total = $3 WHERE report_id = $1 AND state = 'rendering' RETURNING report_id

-- name: forgive_attempt
-- The attempt ended because something was away, not because of the report.
UPDATE report SET attempts = attempts - 1, reason = $2 WHERE report_id = $1 AND state = 'rendering'

-- name: insert_part
-- An artifact of the report.
INSERT INTO report_part (report_id, number, key, uri, size, sha256, rows) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: finish
-- Ready; or failed or cancelled, with the reason.
UPDATE report
SET state = $2, reason = $3, totals = $4, completeness = $5, rows_done = $6, rows_total = $6, finished_at = $7
WHERE report_id = $1

-- name: count_open
-- How many reports wait or are being made.
SELECT count(*) FILTER (WHERE state = 'requested') AS requested, count(*) FILTER (WHERE state = 'rendering') AS rendering
FROM report
WHERE state IN ('requested', 'rendering')

-- name: kept_longer_than
-- Ready reports of a kind ($1), or of all kinds but some ($2), that were finished long enough ago; some at a time.
SELECT report_id FROM report
WHERE state = 'ready' AND let_go_at IS NULL AND finished_at < $3
    AND CASE WHEN $1::text IS NULL THEN kind <> ALL ($2::text[]) ELSE kind = $1 END
ORDER BY finished_at
LIMIT 500

-- name: let_go
-- The artifacts of a report are gone; what they were stays noted.
UPDATE report SET let_go_at = $2 WHERE report_id = $1 AND let_go_at IS NULL
