-- name: newest_done
-- The revision of a date that counts, with the moment whose state it was computed from.
SELECT t.batch_date, t.revision, t.usage_day, t.sha256, t.requested_by, t.frozen_at, coalesce(t.as_of, s.taken_at, t.frozen_at) AS moment
FROM transfer t LEFT JOIN transfer_snapshot s USING (batch_date, revision)
WHERE t.batch_date = $1 AND t.state = 'done' ORDER BY t.revision DESC LIMIT 1

-- name: chunks
-- The chunks that can hold something of the customer $3: ordinary lines are in the customers' order, what follows is not.
WITH chunk AS (
    SELECT c.sequence, c.first_key COLLATE "C" AS first_key, c.sequence >= s.first_extra_chunk AS extra,
           lead(c.first_key) OVER (PARTITION BY c.sequence >= s.first_extra_chunk ORDER BY c.sequence) COLLATE "C" AS next_key
    FROM batch_chunk c LEFT JOIN transfer_snapshot s USING (batch_date, revision)
    WHERE c.batch_date = $1 AND c.revision = $2 AND c.kind = 'lines'
)
SELECT b.sequence, encode(b.sha256, 'hex') AS sha256, b.rows
FROM chunk c JOIN batch_chunk b ON b.batch_date = $1 AND b.revision = $2 AND b.sequence = c.sequence
WHERE c.extra OR ($3 COLLATE "C" >= c.first_key AND (c.next_key IS NULL OR $3 COLLATE "C" <= c.next_key))
ORDER BY b.sequence

-- name: schema_at
-- The version of a service's schema that counted at a moment.
SELECT version, units, published_at, published_by, reason FROM schema_version
WHERE service = $1 AND published_at <= $2 ORDER BY version DESC LIMIT 1

-- name: samples
-- What was measured of an object on a day, oldest first, by whom and when it was said.
SELECT u.value::text AS value, u.measured_at, u.stated_at, e.source, l.first_seen AS late_since
FROM billable_object b
JOIN counter c ON c.name = $2
JOIN usage_sample u ON u.customer_no = b.customer_no AND u.object_no = b.object_no AND u.counter_no = c.counter_no AND u.day = $3
LEFT JOIN event_source e USING (source_id)
LEFT JOIN late_usage l ON l.customer_no = u.customer_no AND l.object_no = u.object_no AND l.counter_no = u.counter_no AND l.day = u.day
WHERE b.id = $1 ORDER BY u.measured_at LIMIT 1000

-- name: status_at
-- The status of an object as it was at a moment, and since when it is known as it was then.
WITH thing AS (
    SELECT customer_no, object_no FROM billable_object WHERE id = $1
), said AS (
    SELECT status, changed_at AS since, 'infinity'::timestamptz AS until FROM service_instance JOIN thing USING (customer_no, object_no)
    UNION ALL SELECT status, changed_at, 'infinity' FROM subscription JOIN thing USING (customer_no, object_no)
    UNION ALL SELECT status, changed_at, 'infinity' FROM application JOIN thing USING (customer_no, object_no)
    UNION ALL
    SELECT v.row ->> 'status', v.valid_from, v.valid_to FROM row_version v JOIN thing t USING (customer_no)
    WHERE v.kind IN ('service_instance', 'subscription', 'application') AND (v.row ->> 'object_no')::int = t.object_no
)
SELECT status, CASE WHEN isfinite(since) THEN since END AS since FROM said WHERE since <= $2 AND until > $2 ORDER BY since DESC LIMIT 1

-- name: rules_at
-- The rules about what is not charged that gave a reason, as they were at a moment; the first that matched is among them.
SELECT id, rank, reason, organisation, service, plan, user_pattern, status, valid_from, valid_to
FROM (
    SELECT r.*, 'infinity'::timestamptz AS until FROM non_billable_rule r
    UNION ALL
    SELECT r.*, v.valid_to FROM row_version v CROSS JOIN LATERAL jsonb_populate_record(NULL::non_billable_rule, v.row) r
    WHERE v.kind = 'non_billable_rule' AND v.customer_no = 0
) known
WHERE reason = $1 AND changed_at <= $2 AND until > $2 ORDER BY rank
