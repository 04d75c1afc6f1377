-- name: lock_schema
-- One publication of a service at a time.
SELECT pg_advisory_xact_lock(hashtext('tallyport.schema'), hashtext($1))

-- name: draft
-- The service's billing units as edited.
SELECT units FROM schema_draft WHERE service = $1

-- name: put_draft
-- Edit the units.
UPDATE schema_draft SET units = $2 WHERE service = $1

-- name: version
-- One version, for ever the same.
SELECT version, units, published_at, published_by, reason FROM schema_version WHERE service = $1 AND version = $2

-- name: history
-- The versions, newest first.
SELECT version, units, published_at, published_by, reason FROM schema_version
WHERE service = $1 AND ($2::integer IS NULL OR version < $2) ORDER BY version DESC LIMIT $3

-- name: newest_version
-- What transfers use now.
SELECT version, units, published_at, published_by, reason FROM schema_version WHERE service = $1 ORDER BY version DESC LIMIT 1

-- name: publish
-- A new version; it never changes again.
INSERT INTO schema_version (service, version, units, published_at, published_by, reason) VALUES ($1, $2, $3, $4, $5, $6)
