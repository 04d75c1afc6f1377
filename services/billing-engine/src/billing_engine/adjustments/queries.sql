-- name: customer_number
-- A customer that is there.
SELECT organisation_no FROM organisation WHERE id = $1 AND removed_at IS NULL

-- name: put_adjustment
-- A new adjustment; approved at once where nobody else has to.
INSERT INTO adjustment (customer_no, amount, currency, description, reason, service, reference, author, created_at, approved_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING adjustment_no

-- name: adjustments
-- The adjustments of customer $1, or number $2, or all, newest first, with how they stand.
SELECT a.adjustment_no AS id, o.id AS customer, a.amount, a.currency, a.description, a.reason, a.service, a.reference, a.author,
       a.created_at, a.approved_by, a.approved_at, a.withdrawn_by, a.withdrawn_at, a.batch_date,
       CASE WHEN a.withdrawn_at IS NOT NULL THEN 'withdrawn' WHEN a.approved_at IS NULL THEN 'open'
            WHEN bool_or(t.state = 'done') THEN 'billed' WHEN bool_or(t.state = 'running') THEN 'being_billed'
            ELSE 'approved' END AS state
FROM adjustment a JOIN organisation o ON o.organisation_no = a.customer_no
LEFT JOIN transfer t ON t.batch_date = a.batch_date
WHERE ($1::text IS NULL OR o.id = $1) AND ($2::int IS NULL OR a.adjustment_no = $2)
GROUP BY a.customer_no, a.adjustment_no, o.id ORDER BY a.adjustment_no DESC LIMIT $3

-- name: approve
-- A second person agrees.
UPDATE adjustment SET approved_by = $2, approved_at = $3 WHERE adjustment_no = $1

-- name: withdraw
-- It is not to be billed.
UPDATE adjustment SET withdrawn_by = $2, withdrawn_at = $3 WHERE adjustment_no = $1

-- name: withdrawn_since
-- Whether something was withdrawn that the revision $2 of $1 has frozen.
SELECT EXISTS (
    SELECT FROM adjustment a JOIN transfer_snapshot s USING (batch_date)
    WHERE s.batch_date = $1 AND s.revision = $2 AND a.withdrawn_at > s.taken_at
)

-- name: bind
-- The batch of $1 takes what is approved and no batch has billed.
UPDATE adjustment a SET batch_date = $1
WHERE a.approved_at IS NOT NULL AND a.withdrawn_at IS NULL AND a.batch_date IS DISTINCT FROM $1
  AND NOT EXISTS (SELECT FROM transfer t WHERE t.batch_date = a.batch_date AND t.state = 'done')

-- name: bound
-- What the batch of $1 bills, in the order of customers, with how many organisations are between each and the root.
WITH RECURSIVE mine AS (
    SELECT * FROM adjustment WHERE batch_date = $1 AND withdrawn_at IS NULL
), up (customer_no, parent, levels) AS (
    SELECT o.organisation_no, o.parent, -1 FROM organisation o WHERE o.organisation_no IN (SELECT customer_no FROM mine)
    UNION ALL
    SELECT up.customer_no, o.parent, up.levels + 1 FROM up JOIN organisation o ON o.id = up.parent WHERE up.levels < 100
)
SELECT m.customer_no, m.adjustment_no AS id, o.id AS customer, m.amount, m.currency, m.description, m.reason, m.service,
       m.reference, m.author, m.approved_by, greatest((SELECT max(levels) FROM up WHERE up.customer_no = m.customer_no), 0) AS levels
FROM mine m JOIN organisation o ON o.organisation_no = m.customer_no
ORDER BY o.id COLLATE "C", m.adjustment_no
