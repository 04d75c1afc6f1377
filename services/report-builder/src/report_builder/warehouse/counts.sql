-- name: count_allocations
-- What was allocated of some plans, or used ($5), in each of some batches. Nothing is known of a batch that has no
-- allocations at all, or in which one that counts is not known.
SELECT w.batch_date,
    CASE WHEN EXISTS (
        SELECT FROM batch_chunk c
        WHERE c.batch_date = w.batch_date AND c.revision = w.revision AND c.kind = 'allocations'
    ) THEN (
        SELECT CASE WHEN count(*) = count(CASE WHEN $5::boolean THEN a.used ELSE a.allocated END)
            THEN coalesce(sum(CASE WHEN $5::boolean THEN a.used ELSE a.allocated END), 0) END
        FROM batch_allocation a
        WHERE a.batch_date = w.batch_date AND a.revision = w.revision
            AND ($3::text IS NULL OR a.service = $3::text) AND a.plan LIKE $4::text
    ) END AS count
FROM unnest($1::date[], $2::integer[]) AS w (batch_date, revision)

-- name: count_lines
-- The lines of some plans and units in each of some batches; or, with $7, the users who have them, each once. Lines of
-- statuses that do not count, or without $6 what is not provisioned, are left out.
SELECT w.batch_date, CASE WHEN $7::boolean
    THEN count(DISTINCT (l.customer_id, l.object_id)) FILTER (WHERE l.object_id IS NOT NULL)
    ELSE count(l.object_id) END AS count
FROM unnest($1::date[], $2::integer[]) AS w (batch_date, revision)
LEFT JOIN batch_line l ON l.batch_date = w.batch_date AND l.revision = w.revision
    AND l.batch_date = ANY ($1::date[]) AND l.revision = ANY ($2::integer[])
    AND l.kind = 'line' AND ($3::text IS NULL OR l.service = $3::text) AND coalesce(l.plan, '') LIKE $4::text
    AND ($5::text IS NULL OR l.unit = $5::text)
    AND CASE WHEN $6::text[] IS NULL THEN l.quantity_source IS DISTINCT FROM 'status:NotProvisioned'
        ELSE l.quantity_source = ANY ($6::text[]) END
    AND (NOT $7::boolean OR l.plan_type = 'user_plan')
GROUP BY w.batch_date

-- name: snapshot_organisations
-- The organisation $3 and all below it, or everybody, as the batch froze them, each with how many users have a line.
WITH RECURSIVE below (id, depth) AS (
    SELECT o.id, 0 FROM batch_organisation o
    WHERE o.batch_date = $1 AND o.revision = $2 AND CASE WHEN $3::text IS NULL THEN o.parent IS NULL ELSE o.id = $3 END
    UNION
    SELECT o.id, b.depth + 1 FROM below b
    JOIN batch_organisation o ON o.batch_date = $1 AND o.revision = $2 AND o.parent = b.id
), users AS (
    SELECT l.customer_id, count(DISTINCT l.object_id) AS users
    FROM batch_line l
    WHERE l.batch_date = $1 AND l.revision = $2 AND l.kind = 'line' AND l.plan_type = 'user_plan'
        AND l.quantity_source IS DISTINCT FROM 'status:NotProvisioned'
    GROUP BY l.customer_id
)
SELECT o.id, CASE WHEN b.depth > 0 THEN o.parent END AS parent, o.type, o.name, o.billing_id, o.location, o.language,
    o.currency, coalesce(u.users, 0) AS users
FROM below b
JOIN batch_organisation o ON o.batch_date = $1 AND o.revision = $2 AND o.id = b.id
LEFT JOIN users u ON u.customer_id = b.id
ORDER BY b.depth, o.id

-- name: snapshot_bundles
-- What some organisations were given of each plan, and what is used of it.
SELECT a.customer_id, a.service, a.plan, a.plan_name, a.allocated, a.used
FROM batch_allocation a
WHERE a.batch_date = $1 AND a.revision = $2 AND a.customer_id = ANY ($3::text[])
ORDER BY a.customer_id, a.service, a.plan

-- name: has_allocations
-- Whether the batch says anything of allocations.
SELECT EXISTS (SELECT FROM batch_chunk WHERE batch_date = $1 AND revision = $2 AND kind = 'allocations')

-- name: bundles_of
-- What one organisation has, and its name, if it is $4 or stands below it in the tree as the batch froze it; $4 may be
-- nobody, who sees all. Without anything allocated there is one row with nothing but the name.
WITH RECURSIVE up (id, parent) AS (
    SELECT id, parent FROM batch_organisation WHERE batch_date = $1 AND revision = $2 AND id = $3
    UNION
    SELECT o.id, o.parent
    FROM up
    JOIN batch_organisation o ON o.batch_date = $1 AND o.revision = $2 AND o.id = up.parent
)
SELECT o.name AS customer_name, a.service, a.plan, a.plan_name, a.allocated, a.used
FROM batch_organisation o
LEFT JOIN batch_allocation a ON a.batch_date = $1 AND a.revision = $2 AND a.customer_id = o.id
WHERE o.batch_date = $1 AND o.revision = $2 AND o.id = $3
    AND ($4::text IS NULL OR EXISTS (SELECT FROM up WHERE up.id = $4::text))
ORDER BY a.service, a.plan
