-- name: lock_view
-- One registration of a view at a time.
SELECT pg_advisory_xact_lock(hashtext('tallyport.billing_view'), hashtext($1))

-- name: put_view
-- A new version; it never changes again.
INSERT INTO registered_view (name, version, service, plan_type, label, quantity_column, dialect, source_sql, sql,
                             registered_at, registered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: newest_views
-- The newest version of every view, or of the one that is named; $3 of them at most, from behind the name $2 on.
SELECT DISTINCT ON (name) * FROM registered_view
WHERE ($1::text IS NULL OR name = $1) AND ($2::text IS NULL OR name > $2) ORDER BY name, version DESC LIMIT $3

-- name: view_version
-- One version, for ever the same.
SELECT * FROM registered_view WHERE name = $1 AND version = $2

-- name: view_versions
-- All versions of a view, newest first.
SELECT * FROM registered_view WHERE name = $1 ORDER BY version DESC

-- name: service_exists
-- Whether the catalogue has a service.
SELECT EXISTS (SELECT FROM service WHERE id = $1)

-- name: export_snapshot
-- What the view shall see is what this transaction sees.
SELECT pg_export_snapshot()

-- name: has_work
-- Whether this connection has the table for a view's rows.
SELECT to_regclass('pg_temp.work_view_row') IS NOT NULL

-- name: create_work
-- Where the rows of a view are kept while they are looked at.
CREATE TEMPORARY TABLE work_view_row (
    object_id text NOT NULL, plan_id text, description text, name text, quantity numeric
) ON COMMIT DELETE ROWS

-- name: count_objects
-- How many objects of this kind the service has.
SELECT count(*) FROM view_subject WHERE service = $1 AND kind = $2

-- name: objects_of
-- The billed objects of this kind that a customer has of the service.
SELECT id FROM view_subject
WHERE customer_no = (SELECT organisation_no FROM organisation WHERE id = $3) AND service = $1 AND kind = $2 AND billed
ORDER BY id

-- name: objects_twice
-- Objects for which the view has several rows.
SELECT object_id, count(*) AS rows FROM work_view_row GROUP BY object_id HAVING count(*) > 1 ORDER BY object_id LIMIT 4

-- name: objects_unknown
-- Rows about something that is no object of this service and kind.
SELECT r.object_id FROM work_view_row r
WHERE NOT EXISTS (SELECT FROM view_subject o WHERE o.id = r.object_id AND o.service = $1 AND o.kind = $2)
ORDER BY 1 LIMIT 4

-- name: unpriced_rows
-- How many rows name a plan of this type that the service does not have.
SELECT count(*) FROM work_view_row r
WHERE NOT EXISTS (SELECT FROM plan p WHERE p.id = r.plan_id AND p.service = $1 AND p.type = $2)

-- name: fill_work_view
-- The lines that the units $1 make of the rows: those of objects that are billed.
INSERT INTO work_view
SELECT u.unit_no, o.customer_no, o.object_no, o.id, o.service, r.plan_id, o.status, coalesce(r.description, o.name), r.name,
       r.quantity
FROM unnest($1::int[]) u (unit_no)
CROSS JOIN work_view_row r JOIN view_subject o ON o.id = r.object_id AND o.service = $2 AND o.kind = $3
WHERE o.billed

-- name: fill_work_view_of
-- The same where all rows are about the customer $4.
INSERT INTO work_view
SELECT u.unit_no, o.customer_no, o.object_no, o.id, o.service, r.plan_id, o.status, coalesce(r.description, o.name), r.name,
       r.quantity
FROM unnest($1::int[]) u (unit_no)
CROSS JOIN work_view_row r JOIN view_subject o ON o.id = r.object_id AND o.service = $2 AND o.kind = $3
WHERE o.billed AND o.customer_no = $4

-- name: clear_rows
-- Make way for the next view's rows.
DELETE FROM work_view_row

-- name: analyse_rows
-- The planner has to know how many there are.
ANALYZE work_view_row

-- name: analyse_lines
-- The same for the lines.
ANALYZE work_view
