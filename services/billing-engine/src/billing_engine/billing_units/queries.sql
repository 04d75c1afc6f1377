-- name: lock_schema
-- One publication of a service at a time.
SELECT pg_advisory_xact_lock(hashtext('tallyport.schema'), hashtext($1))

-- name: draft
-- The service's billing units as edited, with the counters they may use.
SELECT d.units, coalesce((SELECT array_agg(c.name) FROM service_counter c WHERE c.service = d.service), '{}') AS counters
FROM schema_draft d WHERE d.service = $1

-- name: newest_version
-- What transfers use now.
SELECT version, units, published_at, published_by, reason FROM schema_version WHERE service = $1 ORDER BY version DESC LIMIT 1

-- name: publish
-- A new version; it never changes again.
INSERT INTO schema_version (service, version, units, published_at, published_by, reason) VALUES ($1, $2, $3, $4, $5, $6)
