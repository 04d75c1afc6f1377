-- name: ask
-- A question to the customer.
INSERT INTO confirmation (id, request, customer, state, message, message_html, language, quote, quote_sha256, needed,
                          other_person, asked_at, expires_at)
VALUES ($1, $2, $3, 'open', $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: find
-- One question, held until the transaction ends: of two answers at once, one waits and finds it closed.
SELECT * FROM confirmation WHERE id = $1 FOR UPDATE

-- name: look
-- One question as it stands, with what it is about.
SELECT c.*, r.action FROM confirmation c JOIN action_request r ON r.id = c.request WHERE c.id = $1

-- name: close
-- The question is answered, or no longer asked.
UPDATE confirmation SET state = $2, answered_by = $3, answered_at = $4 WHERE id = $1 AND state = 'open' RETURNING id

-- name: agree
-- One of those who must has confirmed.
UPDATE confirmation SET confirmed_by = confirmed_by || $2::text WHERE id = $1 AND state = 'open'

-- name: list
-- Questions, newest first; $1 narrows to a state and $2 to a customer.
SELECT c.*, r.action FROM confirmation c JOIN action_request r ON r.id = c.request
WHERE ($1::text IS NULL OR c.state = $1) AND ($2::text IS NULL OR c.customer = $2)
ORDER BY c.asked_at DESC, c.id LIMIT $3

-- name: overdue
-- Open questions whose time has run out.
SELECT id FROM confirmation WHERE state = 'open' AND expires_at <= $1 ORDER BY expires_at LIMIT 500

-- name: put_token
-- A token for one question; only its hash is kept.
INSERT INTO confirmation_token (sha256, confirmation, person, made_by, made_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)

-- name: token
-- What a token is for, held until the transaction ends: it answers once.
SELECT confirmation, person, expires_at, used_at FROM confirmation_token WHERE sha256 = $1 FOR UPDATE

-- name: look_token
-- What a token is for.
SELECT confirmation, person, expires_at, used_at FROM confirmation_token WHERE sha256 = $1

-- name: use_token
-- The token has answered.
UPDATE confirmation_token SET used_at = $2 WHERE sha256 = $1

-- name: move_tokens
-- The price has moved: who could answer the old question can answer the new one.
UPDATE confirmation_token SET confirmation = $2 WHERE confirmation = $1 AND used_at IS NULL

-- name: count_attempt
-- How often somebody has tried to answer in the present minute.
INSERT INTO answer_rate AS r (caller, begun_at, attempts) VALUES ($1, $2, 1)
ON CONFLICT (caller) DO UPDATE SET
    attempts = CASE WHEN r.begun_at <= $2::timestamptz - interval '1 minute' THEN 1 ELSE r.attempts + 1 END,
    begun_at = CASE WHEN r.begun_at <= $2::timestamptz - interval '1 minute' THEN $2 ELSE r.begun_at END
RETURNING attempts, begun_at

-- name: forget_attempts
-- What was counted in minutes that are over.
DELETE FROM answer_rate WHERE begun_at < $1::timestamptz - interval '1 hour'

-- name: forget_tokens
-- Tokens that have ended long ago.
DELETE FROM confirmation_token WHERE expires_at < $1::timestamptz - interval '1 day'
