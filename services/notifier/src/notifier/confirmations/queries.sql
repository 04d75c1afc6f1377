-- name: ask
-- A question to the customer.
INSERT INTO confirmation (id, request, customer, state, message, language, quote, quote_sha256, asked_at, expires_at)
VALUES ($1, $2, $3, 'open', $4, $5, $6, $7, $8, $9)

-- name: find
-- One question, held until the transaction ends: of two answers at once, one waits and finds it closed.
SELECT * FROM confirmation WHERE id = $1 FOR UPDATE

-- name: close
-- The question is answered, or no longer asked.
UPDATE confirmation SET state = $2, answered_by = $3, answered_at = $4 WHERE id = $1 AND state = 'open' RETURNING id

-- name: list
-- Questions, newest first; $1 narrows to a state and $2 to a customer.
SELECT c.*, r.action FROM confirmation c JOIN action_request r ON r.id = c.request
WHERE ($1::text IS NULL OR c.state = $1) AND ($2::text IS NULL OR c.customer = $2)
ORDER BY c.asked_at DESC, c.id LIMIT $3

-- name: overdue
-- Open questions whose time has run out.
SELECT id FROM confirmation WHERE state = 'open' AND expires_at <= $1 ORDER BY expires_at LIMIT 500
