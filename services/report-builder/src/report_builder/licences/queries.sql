-- name: lock
-- One editor at a time, until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('report_builder.licences'))

-- name: document
-- The licences there are now.
SELECT document, noted_at, noted_by, reason FROM licence_document ORDER BY number DESC LIMIT 1

-- name: put_document
-- From now on these are the licences.
INSERT INTO licence_document (document, noted_at, noted_by, reason) VALUES ($1, $2, $3, $4)

-- name: manual_counts
-- The counts of one licence, or all, that are valid on a day or were before, or all; the later counts.
SELECT licence, valid_from, count, noted_at, noted_by, reason
FROM licence_manual_count
WHERE ($1::text IS NULL OR licence = $1) AND ($2::date IS NULL OR valid_from <= $2)
ORDER BY licence, valid_from, number

-- name: put_manual_count
-- From a day on this is the count.
INSERT INTO licence_manual_count (licence, valid_from, count, noted_at, noted_by, reason) VALUES ($1, $2, $3, $4, $5, $6)

-- name: first_manual_count
-- The earliest day that something was said of.
SELECT min(valid_from) FROM licence_manual_count WHERE licence = $1

-- name: settings
-- The settings that are valid on a day.
SELECT licence_model, counts, billing_mode, assurance, move_to_cloud, valid_from, noted_at, noted_by, reason
FROM billing_settings
WHERE valid_from <= $1
ORDER BY valid_from DESC, number DESC
LIMIT 1

-- name: first_settings
-- The earliest day that something was said of.
SELECT min(valid_from) FROM billing_settings

-- name: put_settings
-- From a day on these are the settings.
INSERT INTO billing_settings (
    valid_from, licence_model, counts, billing_mode, assurance, move_to_cloud, noted_at, noted_by, reason
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
