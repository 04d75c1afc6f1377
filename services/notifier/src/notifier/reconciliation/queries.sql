-- name: looking_since
-- From when on what is new is news: since somebody looks, and since some action is asked about; null while none is.
SELECT greatest((SELECT min(at) FROM looking_since), (SELECT min(changed_at) FROM action_setting WHERE ticked))
       AS since, EXISTS (SELECT 1 FROM action_setting WHERE ticked) AS shut

-- name: known_plans
-- What these objects had before.
SELECT kind, id, plan, source_partition, source_offset FROM seen_plan
WHERE (kind, id) IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: put_plans
-- What these objects have, unless a newer record was entered already.
INSERT INTO seen_plan AS s (kind, id, instance, customer, plan, source_partition, source_offset)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[])
ON CONFLICT (kind, id) DO UPDATE SET
    instance = excluded.instance, customer = excluded.customer, plan = excluded.plan,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset
WHERE s.source_partition <> excluded.source_partition OR s.source_offset < excluded.source_offset

-- name: put_changes
-- What was bought, or got another plan.
INSERT INTO seen_change (kind, id, instance, old_plan, new_plan, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])

-- name: changes
-- What was bought since $1 by customers who are asked, oldest first.
SELECT c.number, c.kind, c.id, i.customer, c.old_plan, c.new_plan, c.at FROM seen_change c
JOIN seen_plan i ON i.kind = 'service_instance' AND i.id = c.instance
JOIN organisation o ON o.id = i.customer AND NOT o.removed
LEFT JOIN confirmation_switch s ON s.customer = i.customer
WHERE c.at >= $1 AND coalesce(s.is_on AND s.changed_at <= c.at, o.imported) AND ($2::text IS NULL OR i.customer = $2)
ORDER BY c.at, c.number LIMIT $3

-- name: permits
-- What was allowed since $1 and did not fail, line by line.
SELECT r.customer, l.plan, l.quantity::numeric AS quantity, r.decided_at FROM action_request r
CROSS JOIN LATERAL jsonb_to_recordset(r.quote -> 'lines') AS l (plan text, quantity text)
WHERE r.decided_at >= $1 AND r.decision = 'allowed' AND r.state <> 'failed' AND l.quantity::numeric > 0
  AND ($2::text IS NULL OR r.customer = $2)

-- name: never_performed
-- What was allowed from $1 to $2 and of which nobody has told the outcome, oldest first.
SELECT id AS request_id, action, customer, reason, decided_at FROM action_request
WHERE state = 'allowed' AND decided_at >= $1 AND decided_at < $2 AND ($3::text IS NULL OR customer = $3)
ORDER BY decided_at, id LIMIT $4
