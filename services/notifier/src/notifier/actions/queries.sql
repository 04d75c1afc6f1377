-- name: setting
-- Whether an action is asked about, and whether this customer is asked at all; null where nobody said.
SELECT (SELECT ticked FROM action_setting WHERE action = $1) AS ticked,
       (SELECT is_on FROM confirmation_switch WHERE customer = $2) AS switch_on

-- name: ticked_actions
-- What administrators said of each action.
SELECT action, ticked, changed_by, changed_at FROM action_setting ORDER BY action

-- name: tick
-- Whether an action is asked about from now on.
INSERT INTO action_setting (action, ticked, changed_by, changed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (action) DO UPDATE SET ticked = excluded.ticked, changed_by = excluded.changed_by, changed_at = excluded.changed_at

-- name: switch
-- Whether a customer is asked from now on.
INSERT INTO confirmation_switch (customer, is_on, changed_by, changed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (customer) DO UPDATE SET is_on = excluded.is_on, changed_by = excluded.changed_by, changed_at = excluded.changed_at

-- name: request
-- A request as it was taken in, with its open question if there is one.
SELECT r.*, c.id AS confirmation_id FROM action_request r
LEFT JOIN LATERAL (SELECT id FROM confirmation WHERE request = r.id ORDER BY asked_at DESC LIMIT 1) c ON true
WHERE r.id = $1

-- name: lock_request
-- The same request twice at once: one of them waits.
SELECT pg_advisory_xact_lock(hashtext('tallyport.request'), hashtext($1))

-- name: put_request
-- Take a request in.
INSERT INTO action_request (id, payload_sha256, action, customer, request, correlation_id, requested_at, quote)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: decide
-- The final word; only the first one counts.
UPDATE action_request SET decision = $2, reason = $3, quote = $4, decided_at = $5 WHERE id = $1 AND decision IS NULL
RETURNING id

-- name: audit
-- What happened, for ever.
INSERT INTO audit_entry (at, who, what, about, detail) VALUES ($1, $2, $3, $4, $5)
