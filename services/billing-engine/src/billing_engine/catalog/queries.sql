-- name: lock_catalog
-- One editor at a time; readers are not held up.
SELECT pg_advisory_xact_lock(hashtext('tallyport.catalog'))

-- name: services
-- The services, whole, in order.
SELECT id, name FROM service ORDER BY id

-- name: counters
-- Every service's counters.
SELECT service, name, unit, aggregation FROM service_counter ORDER BY service, name

-- name: plans
-- Every plan with its own properties.
SELECT p.id, p.service, p.type, p.name, p.currency,
       coalesce(jsonb_object_agg(x.name, x.value) FILTER (WHERE x.name IS NOT NULL), '{}') AS properties
FROM plan p LEFT JOIN plan_property x ON x.plan = p.id
GROUP BY p.id ORDER BY p.id

-- name: overrides
-- Everything said about plans at a level of the tree or for a location.
SELECT o.plan, p.service, o.level, o.level_id, o.currency, jsonb_object_agg(o.name, o.value) AS properties
FROM plan_override o JOIN plan p ON p.id = o.plan
GROUP BY o.plan, p.service, o.level, o.level_id, o.currency ORDER BY o.plan, o.level DESC, o.level_id

-- name: drafts
-- The billing units being edited.
SELECT service, units FROM schema_draft ORDER BY service

-- name: rules
-- The rules about lines that are not charged, in the order in which they are tried.
SELECT id, reason, organisation, service, plan, user_pattern, status, valid_from, valid_to FROM non_billable_rule ORDER BY rank

-- name: clear_rules
-- Make way for the rules as the document has them.
DELETE FROM non_billable_rule

-- name: put_rule
-- Enter a rule in its place.
INSERT INTO non_billable_rule (rank, id, reason, organisation, service, plan, user_pattern, status, valid_from, valid_to)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: rates
-- The rates at which amounts are converted.
SELECT from_currency, to_currency, rate, valid_from FROM conversion_rate ORDER BY from_currency, to_currency, valid_from

-- name: clear_rates
-- Make way for the rates as the document has them.
DELETE FROM conversion_rate

-- name: put_rates
-- The rates.
INSERT INTO conversion_rate (from_currency, to_currency, rate, valid_from)
SELECT * FROM unnest($1::text[], $2::text[], $3::numeric[], $4::date[])

-- name: plan_owners
-- Which service these plans belong to now.
SELECT id, service FROM plan WHERE id = ANY ($1::text[])

-- name: put_service
-- Enter a service or its new name.
INSERT INTO service (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name

-- name: clear_counters
-- Make way for the service's counters as the document has them.
DELETE FROM service_counter WHERE service = $1

-- name: put_counters
-- The service's counters.
INSERT INTO service_counter (service, name, unit, aggregation)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[])

-- name: remove_plans
-- Plans that the document no longer has, with their properties and overrides; frozen lines keep what they were.
DELETE FROM plan WHERE service = $1 AND NOT (id = ANY ($2::text[]))
RETURNING id

-- name: put_plan
-- Enter a plan or what is new about it.
INSERT INTO plan (id, service, type, name, currency) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET type = excluded.type, name = excluded.name, currency = excluded.currency

-- name: clear_properties
-- Make way for the plan's properties as the document has them.
DELETE FROM plan_property WHERE plan = $1

-- name: put_properties
-- The plan's properties.
INSERT INTO plan_property (plan, name, value) SELECT $1, * FROM unnest($2::text[], $3::text[])

-- name: clear_overrides
-- Make way for the service's overrides as the document has them.
DELETE FROM plan_override o USING plan p WHERE p.id = o.plan AND p.service = $1

-- name: put_override
-- What one level says about a plan.
INSERT INTO plan_override (plan, level, level_id, currency, name, value)
SELECT $1, $2, $3, $4, * FROM unnest($5::text[], $6::text[])

-- name: put_draft
-- The billing units as edited; a transfer does not see them until they are published.
INSERT INTO schema_draft (service, units) VALUES ($1, $2) ON CONFLICT (service) DO UPDATE SET units = excluded.units

-- name: plan
-- One plan, with the units that are edited and those that count, and its service's counters.
SELECT p.id, p.service, s.name AS service_name, p.type, p.name, p.currency,
       coalesce((SELECT jsonb_object_agg(x.name, x.value) FROM plan_property x WHERE x.plan = p.id), '{}') AS properties,
       coalesce((SELECT d.units FROM schema_draft d WHERE d.service = p.service), '[]') AS draft,
       coalesce((SELECT v.units FROM schema_version v WHERE v.service = p.service ORDER BY v.version DESC LIMIT 1), '[]') AS published
FROM plan p JOIN service s ON s.id = p.service
WHERE p.id = $1

-- name: plan_said
-- What some organisations and all locations say about a plan.
SELECT level, level_id, currency, jsonb_object_agg(name, value) AS properties
FROM plan_override
WHERE plan = $1 AND (level = 'location' OR level = 'organisation' AND level_id = ANY ($2::text[]))
GROUP BY level, level_id, currency

-- name: overrides_within
-- What organisations say about plans, a page at a time: all of it, or what $1 and those below it do.
WITH RECURSIVE below (id) AS (
    SELECT id FROM organisation WHERE id = $1 AND removed_at IS NULL
    UNION
    SELECT o.id FROM below JOIN organisation o ON o.parent = below.id
)
SELECT o.plan, p.service, o.level_id AS organisation, o.currency, jsonb_object_agg(o.name, o.value) AS properties
FROM plan_override o JOIN plan p ON p.id = o.plan
WHERE o.level = 'organisation' AND ($1::text IS NULL OR o.level_id IN (SELECT id FROM below))
  AND ($2::text IS NULL OR o.level_id = $2) AND ($3::text IS NULL OR o.plan = $3)
  AND (o.plan, o.level_id) > ($4::text, $5::text)
GROUP BY o.plan, p.service, o.level_id, o.currency ORDER BY o.plan, o.level_id LIMIT $6

-- name: clear_override
-- An organisation says nothing about a plan any more.
DELETE FROM plan_override WHERE plan = $1 AND level = 'organisation' AND level_id = $2

-- name: plans_after
-- Plans by id, a page at a time.
SELECT p.id, p.service, p.type, p.name, p.currency FROM plan p
WHERE p.id > $1 AND ($2::text IS NULL OR p.service = $2) ORDER BY p.id LIMIT $3
