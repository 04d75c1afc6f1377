-- name: unknown_objects
-- Objects that were measured and that nobody has told of.
SELECT p.object_id, count(*) AS samples, min(p.day) AS first_day, max(p.day) AS last_day
FROM parked_sample p GROUP BY p.object_id ORDER BY p.object_id COLLATE "C" LIMIT $1

-- name: usage_of_removed
-- Objects that were measured on the day $1 although they are removed.
SELECT b.id AS object_id, o.id AS customer, count(*) AS samples, max(t.removed_at) AS removed_at
FROM usage_sample u
JOIN billable_object b ON b.object_no = u.object_no
JOIN organisation o ON o.organisation_no = u.customer_no
JOIN (
    SELECT customer_no, object_no, removed_at FROM service_instance WHERE removed_at IS NOT NULL
    UNION ALL SELECT customer_no, object_no, removed_at FROM subscription WHERE removed_at IS NOT NULL
    UNION ALL SELECT customer_no, object_no, removed_at FROM application WHERE removed_at IS NOT NULL
) t ON t.customer_no = u.customer_no AND t.object_no = u.object_no
WHERE u.day = $1::date AND t.removed_at::date <= u.day
GROUP BY b.id, o.id ORDER BY o.id COLLATE "C", b.id COLLATE "C" LIMIT $2

-- name: subscriptions_without_usage
-- Provisioned subscriptions of services that are billed by what users consume, without a sample since the day $1.
WITH measured_service AS (
    SELECT DISTINCT v.service
    FROM (SELECT DISTINCT ON (service) service, units FROM schema_version ORDER BY service, version DESC) v
    CROSS JOIN LATERAL jsonb_array_elements(v.units) unit
    WHERE unit ->> 'unit' = 'user' AND unit -> 'quantity' ? 'counter' AND (unit ->> 'active')::boolean
)
SELECT s.id AS object_id, o.id AS customer, i.service, s.changed_at
FROM subscription s
JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
JOIN organisation o ON o.organisation_no = s.customer_no
JOIN measured_service USING (service)
WHERE s.removed_at IS NULL AND i.removed_at IS NULL AND o.removed_at IS NULL AND i.is_billed AND NOT i.reseller_service
  AND s.status = 'Provisioned' AND s.changed_at::date < $1::date
  AND NOT EXISTS (
      SELECT FROM usage_sample u WHERE u.customer_no = s.customer_no AND u.object_no = s.object_no AND u.day >= $1::date
  )
ORDER BY o.id COLLATE "C", s.id COLLATE "C" LIMIT $2

-- name: allocations_below_use
-- Plans of which a customer's users have more than the customer was given.
WITH given AS (
    SELECT i.customer_no, i.service, a.key AS plan, sum(a.value::bigint) AS allocated
    FROM service_instance i CROSS JOIN LATERAL jsonb_each_text(i.allocations) a WHERE i.removed_at IS NULL GROUP BY 1, 2, 3
), used AS (
    SELECT s.customer_no, i.service, s.plan, count(*) AS used
    FROM subscription s JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE s.removed_at IS NULL AND i.removed_at IS NULL AND s.status <> 'NotProvisioned' GROUP BY 1, 2, 3
)
SELECT o.id AS customer, g.service, g.plan, g.allocated, u.used
FROM given g JOIN used u USING (customer_no, service, plan) JOIN organisation o ON o.organisation_no = g.customer_no
WHERE u.used > g.allocated AND o.removed_at IS NULL
ORDER BY o.id COLLATE "C", g.service COLLATE "C", g.plan COLLATE "C" LIMIT $1

-- name: two_batches
-- The batch of a date and the one before it, of each the newest whole revision.
SELECT DISTINCT ON (batch_date) batch_date, revision FROM transfer
WHERE state = 'done' AND batch_date <= $1 AND batch_date >= $1::date - 35
ORDER BY batch_date DESC, revision DESC LIMIT 2

-- name: totals_that_moved
-- Customers whose total differs between the batches ($1, $2) and ($3, $4) by more than $5 per cent and by more than $6 in
-- the currency; $7 to $9 are the places of the customer, the currency and the total in a frozen line, from 0.
WITH line AS (
    SELECT c.batch_date, r ->> $7::int AS customer, r ->> $8::int AS currency, (r ->> $9::int)::numeric AS total
    FROM batch_chunk c
    CROSS JOIN LATERAL json_array_elements(('[' || convert_from(c.rows, 'UTF8') || ']')::json) r
    WHERE c.kind = 'lines' AND (c.batch_date, c.revision) IN (($1::date, $2::int), ($3::date, $4::int))
), sums AS (
    SELECT customer, currency, coalesce(sum(total) FILTER (WHERE batch_date = $1), 0) AS before,
           coalesce(sum(total) FILTER (WHERE batch_date = $3), 0) AS after
    FROM line GROUP BY customer, currency
)
SELECT customer, currency, before::text, after::text FROM sums
WHERE abs(after - before) > $6::numeric AND abs(after - before) * 100 > abs(before) * $5::numeric
ORDER BY abs(after - before) DESC, customer COLLATE "C" LIMIT $10

-- name: acknowledged
-- Findings that are acknowledged on the day $1, with the newest word about each.
SELECT DISTINCT ON (finding_id) finding_id, acknowledged_at, acknowledged_by, reason, until FROM acknowledged_finding
WHERE finding_id = ANY ($2::text[]) AND (until IS NULL OR until >= $1::date)
ORDER BY finding_id, acknowledged_at DESC

-- name: acknowledge
-- Somebody has looked at a finding.
INSERT INTO acknowledged_finding (finding_id, acknowledged_at, acknowledged_by, reason, until) VALUES ($1, $2, $3, $4, $5)
