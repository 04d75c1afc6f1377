-- name: known_organisations
-- Which of these organisations exist, removed ones too: their children have a place.
SELECT id FROM organisation WHERE id = ANY ($1::text[])

-- name: known_objects
-- The objects among these ids, with whose they are.
SELECT b.id, b.kind, b.object_no, b.customer_no, o.id AS customer_id
FROM billable_object b JOIN organisation o ON o.organisation_no = b.customer_no
WHERE b.id = ANY ($1::text[])

-- name: parents_upwards
-- These organisations and everything above them, each with its parent.
WITH RECURSIVE up (id, parent) AS (
    SELECT id, parent FROM organisation WHERE id = ANY ($1::text[])
    UNION
    SELECT o.id, o.parent FROM up JOIN organisation o ON o.id = up.parent
)
SELECT id, parent FROM up WHERE parent IS NOT NULL

-- name: upsert_organisations
-- Enter organisations, or what is new about them.
INSERT INTO organisation AS o (id, type, parent, name, billing_id, location, language, currency, imported, source_partition, source_offset)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::boolean[], $10::integer[], $11::bigint[])
ON CONFLICT (id) DO UPDATE SET
    type = excluded.type, parent = excluded.parent, name = excluded.name, billing_id = excluded.billing_id,
    location = excluded.location, language = excluded.language, currency = excluded.currency,
    imported = excluded.imported, removed_at = NULL,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE o.source_partition <> excluded.source_partition OR o.source_offset < excluded.source_offset

-- name: upsert_sites
-- Enter sites, or what is new about them.
INSERT INTO site AS s (customer_no, id, name, billing_number, source_partition, source_offset)
SELECT o.organisation_no, i.id, i.name, i.billing_number, i.partition, i.record_offset
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::bigint[])
    AS i (customer, id, name, billing_number, partition, record_offset)
JOIN organisation o ON o.id = i.customer
ON CONFLICT (customer_no, id) DO UPDATE SET
    name = excluded.name, billing_number = excluded.billing_number, removed_at = NULL,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE s.source_partition <> excluded.source_partition OR s.source_offset < excluded.source_offset

-- name: register_instance_objects
-- Give new service instances their object numbers.
INSERT INTO billable_object (customer_no, id, kind)
SELECT o.organisation_no, i.id, 'service_instance'
FROM unnest($1::text[], $2::text[]) AS i (id, customer) JOIN organisation o ON o.id = i.customer
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: register_child_objects
-- Give new subscriptions ($3 = 'subscription') or applications their object numbers; they belong to their parent's customer.
INSERT INTO billable_object (customer_no, id, kind)
SELECT p.customer_no, i.id, $3
FROM unnest($1::text[], $2::text[]) AS i (id, parent) JOIN billable_object p ON p.id = i.parent
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: upsert_service_instances
-- Enter service instances, or what is new about them.
INSERT INTO service_instance AS s (customer_no, object_no, id, service, plan, status, is_billed, reseller_service, properties, allocations,
                                   source_partition, source_offset)
SELECT b.customer_no, b.object_no, b.id, i.service, i.plan, i.status, i.is_billed, i.reseller_service, i.properties, i.allocations,
       i.partition, i.record_offset
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::boolean[], $7::jsonb[], $8::jsonb[],
            $9::integer[], $10::bigint[])
    AS i (id, service, plan, status, is_billed, reseller_service, properties, allocations, partition, record_offset)
JOIN billable_object b ON b.id = i.id
ON CONFLICT (customer_no, object_no) DO UPDATE SET
    service = excluded.service, plan = excluded.plan, status = excluded.status, is_billed = excluded.is_billed,
    reseller_service = excluded.reseller_service, properties = excluded.properties, allocations = excluded.allocations,
    removed_at = NULL, source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE s.source_partition <> excluded.source_partition OR s.source_offset < excluded.source_offset

-- name: upsert_subscriptions
-- Enter subscriptions, or what is new about them.
INSERT INTO subscription AS s (customer_no, object_no, id, instance_no, plan, status, user_upn, user_name, source_partition, source_offset)
SELECT b.customer_no, b.object_no, b.id, p.object_no, i.plan, i.status, i.upn, i.name, i.partition, i.record_offset
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::bigint[])
    AS i (id, instance, plan, status, upn, name, partition, record_offset)
JOIN billable_object b ON b.id = i.id
JOIN billable_object p ON p.id = i.instance
ON CONFLICT (customer_no, object_no) DO UPDATE SET
    instance_no = excluded.instance_no, plan = excluded.plan, status = excluded.status, user_upn = excluded.user_upn,
    user_name = excluded.user_name, removed_at = NULL,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE s.source_partition <> excluded.source_partition OR s.source_offset < excluded.source_offset

-- name: upsert_applications
-- Enter applications, or what is new about them.
INSERT INTO application AS a (customer_no, object_no, id, subscription_no, name, properties, status, source_partition, source_offset)
SELECT b.customer_no, b.object_no, b.id, p.object_no, i.name, i.properties, i.status, i.partition, i.record_offset
FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[], $6::integer[], $7::bigint[])
    AS i (id, subscription, name, properties, status, partition, record_offset)
JOIN billable_object b ON b.id = i.id
JOIN billable_object p ON p.id = i.subscription
ON CONFLICT (customer_no, object_no) DO UPDATE SET
    subscription_no = excluded.subscription_no, name = excluded.name, properties = excluded.properties,
    status = excluded.status, removed_at = NULL,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE a.source_partition <> excluded.source_partition OR a.source_offset < excluded.source_offset

-- name: upsert_inventories
-- Enter inventory counts, or what is new about them.
INSERT INTO inventory AS v (customer_no, id, site, counts, source_partition, source_offset)
SELECT o.organisation_no, i.id, i.site, i.counts, i.partition, i.record_offset
FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::integer[], $6::bigint[])
    AS i (customer, id, site, counts, partition, record_offset)
JOIN organisation o ON o.id = i.customer
ON CONFLICT (customer_no, id) DO UPDATE SET
    site = excluded.site, counts = excluded.counts, removed_at = NULL,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE v.source_partition <> excluded.source_partition OR v.source_offset < excluded.source_offset

-- name: remove_organisation
-- Mark an organisation as removed.
UPDATE organisation SET removed_at = now(), source_partition = $2, source_offset = $3
WHERE id = $1 AND (source_partition <> $2 OR source_offset < $3)

-- name: remove_site
-- Mark a site as removed.
UPDATE site SET removed_at = now(), source_partition = $2, source_offset = $3
WHERE id = $1 AND (source_partition <> $2 OR source_offset < $3)

-- name: remove_inventory
-- Mark an inventory count as removed.
UPDATE inventory SET removed_at = now(), source_partition = $2, source_offset = $3
WHERE id = $1 AND (source_partition <> $2 OR source_offset < $3)

-- name: remove_service_instance
-- Mark a service instance as removed.
UPDATE service_instance s SET removed_at = now(), source_partition = $2, source_offset = $3
FROM billable_object b
WHERE b.id = $1 AND (s.customer_no, s.object_no) = (b.customer_no, b.object_no)
  AND (s.source_partition <> $2 OR s.source_offset < $3)

-- name: remove_subscription
-- Mark a subscription as removed.
UPDATE subscription s SET removed_at = now(), source_partition = $2, source_offset = $3
FROM billable_object b
WHERE b.id = $1 AND (s.customer_no, s.object_no) = (b.customer_no, b.object_no)
  AND (s.source_partition <> $2 OR s.source_offset < $3)

-- name: remove_application
-- Mark an application as removed.
UPDATE application s SET removed_at = now(), source_partition = $2, source_offset = $3
FROM billable_object b
WHERE b.id = $1 AND (s.customer_no, s.object_no) = (b.customer_no, b.object_no)
  AND (s.source_partition <> $2 OR s.source_offset < $3)

-- name: put_in_waiting
-- Keep an entity until its parent is heard of; the newest word counts.
INSERT INTO waiting_entity AS w (entity_key, waits_for, entity, source_partition, source_offset)
SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::integer[], $5::bigint[])
ON CONFLICT (entity_key) DO UPDATE SET
    waits_for = excluded.waits_for, entity = excluded.entity,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE w.source_partition <> excluded.source_partition OR w.source_offset < excluded.source_offset

-- name: forget_waiting
-- Something newer was said of these entities, or they go in now.
DELETE FROM waiting_entity WHERE entity_key = ANY ($1::text[])

-- name: take_waiting_for
-- The entities that waited for these parents.
DELETE FROM waiting_entity WHERE waits_for = ANY ($1::text[])
RETURNING entity_key, entity, source_partition, source_offset

-- name: waiting
-- What waits, oldest first, a page at a time.
SELECT entity_key, waits_for, since FROM waiting_entity
WHERE $1::timestamptz IS NULL OR (since, entity_key) > ($1, $2::text)
ORDER BY since, entity_key LIMIT $3

-- name: place
-- An organisation's chain upwards and its location; nothing if it is not $2 or below it, or if $2 is gone.
WITH RECURSIVE up (id, parent, depth) AS (
    SELECT id, parent, 0 FROM organisation WHERE id = $1
    UNION ALL
    SELECT o.id, o.parent, up.depth + 1 FROM up JOIN organisation o ON o.id = up.parent WHERE up.depth < 1000
)
SELECT array_agg(id ORDER BY depth) AS chain, (SELECT location FROM organisation WHERE id = $1) AS location
FROM up
HAVING count(*) > 0
   AND ($2::text IS NULL
        OR $2 = ANY (array_agg(id)) AND EXISTS (SELECT FROM organisation o WHERE o.id = $2 AND o.removed_at IS NULL))

-- name: locations_below
-- Where an organisation and all below it are.
WITH RECURSIVE below (id, location) AS (
    SELECT id, location FROM organisation WHERE id = $1
    UNION
    SELECT o.id, o.location FROM below JOIN organisation o ON o.parent = below.id
)
SELECT DISTINCT location FROM below WHERE location IS NOT NULL

-- name: organisations_within
-- Organisations by id, a page at a time: all of them, or $1 and what is below it. What is above $1 is not told.
WITH RECURSIVE below (id) AS (
    SELECT id FROM organisation WHERE id = $1 AND removed_at IS NULL
    UNION
    SELECT o.id FROM below JOIN organisation o ON o.parent = below.id
)
SELECT o.id, o.type, CASE WHEN o.id = $1 THEN NULL ELSE o.parent END AS parent, o.name, o.currency, o.location
FROM organisation o
WHERE o.removed_at IS NULL AND o.id > $2 AND ($1::text IS NULL OR o.id IN (SELECT id FROM below))
ORDER BY o.id LIMIT $3

-- name: counts
-- How many of each kind there are, for the status page.
SELECT (SELECT count(*) FROM organisation WHERE removed_at IS NULL) AS organisations,
       (SELECT count(*) FROM service_instance WHERE removed_at IS NULL) AS service_instances,
       (SELECT count(*) FROM subscription WHERE removed_at IS NULL) AS subscriptions,
       (SELECT count(*) FROM waiting_entity) AS waiting
