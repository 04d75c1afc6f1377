-- name: put_organisation
-- An organisation, or what is new about it.
INSERT INTO organisation AS o (id, type, parent, name, location, language, currency, imported, source_partition, source_offset)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE SET
    type = excluded.type, parent = excluded.parent, name = excluded.name, location = excluded.location,
    language = excluded.language, currency = excluded.currency, imported = excluded.imported, removed = false,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE o.source_partition <> excluded.source_partition OR o.source_offset < excluded.source_offset

-- name: remove_organisation
-- An organisation that is no more.
UPDATE organisation SET removed = true, source_partition = $2, source_offset = $3
WHERE id = $1 AND (source_partition <> $2 OR source_offset < $3)

-- name: put_catalog_entity
-- A catalogue entity, or what is new about it.
INSERT INTO catalog_entity AS c (key, kind, plan, service, data, source_partition, source_offset)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (key) DO UPDATE SET
    kind = excluded.kind, plan = excluded.plan, service = excluded.service, data = excluded.data, removed = false,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE c.source_partition <> excluded.source_partition OR c.source_offset < excluded.source_offset

-- name: remove_catalog_entity
-- A catalogue entity that is no more.
UPDATE catalog_entity SET removed = true, source_partition = $2, source_offset = $3
WHERE key = $1 AND (source_partition <> $2 OR source_offset < $3)

-- name: chain
-- Customers, and the organisations above each, nearest first.
WITH RECURSIVE up (customer, level, id) AS (
    SELECT id, 0, id FROM organisation WHERE id = ANY ($1::text[]) AND NOT removed
    UNION ALL
    SELECT up.customer, up.level + 1, o.parent FROM up JOIN organisation o ON o.id = up.id WHERE o.parent IS NOT NULL AND up.level < 100
)
SELECT up.customer, o.id, o.name, o.location, o.language, o.currency, o.imported
FROM up JOIN organisation o ON o.id = up.id ORDER BY up.customer, up.level

-- name: plans
-- Everything the catalogue says of these plans, the published schemas of their services, and what is said of all plans.
SELECT key, kind, data FROM catalog_entity c
WHERE NOT removed AND (
    plan = ANY ($1::text[])
    OR kind IN ('conversion_rates', 'non_billable')
    OR (kind = 'service_schema' AND service IN (
        SELECT service FROM catalog_entity WHERE kind = 'plan' AND NOT removed AND plan = ANY ($1::text[])))
)
