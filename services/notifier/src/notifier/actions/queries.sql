-- name: rules
-- Everything that was said of actions ($1) and of customers ($2), at the time $3; null where nobody said anything.
SELECT k.action, k.customer, s.ticked, s.other_person, s.two_above, s.valid_minutes, r.labels, r.items,
       (SELECT is_on FROM confirmation_switch WHERE customer = k.customer) AS switch_on,
       EXISTS (SELECT 1 FROM break_glass WHERE ends_at > $3 AND ended_by IS NULL AND begun_at <= $3) AS glass_broken
FROM unnest($1::text[], $2::text[]) AS k (action, customer)
LEFT JOIN action_setting s ON s.action = k.action
LEFT JOIN registered_action r ON r.action = k.action AND NOT r.removed

-- name: ticked_actions
-- What administrators said of each action.
SELECT action, ticked, other_person, two_above, valid_minutes, changed_by, changed_at FROM action_setting ORDER BY action

-- name: tick
-- Whether and how an action is asked about from now on.
INSERT INTO action_setting (action, ticked, other_person, two_above, valid_minutes, changed_by, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (action) DO UPDATE SET
    ticked = excluded.ticked, other_person = excluded.other_person, two_above = excluded.two_above,
    valid_minutes = excluded.valid_minutes, changed_by = excluded.changed_by, changed_at = excluded.changed_at

-- name: registered_actions
-- The actions that the provider has registered.
SELECT action, labels, items, changed_by, changed_at FROM registered_action WHERE NOT removed ORDER BY action

-- name: register
-- An action of the provider's own, from now on.
INSERT INTO registered_action (action, labels, items, removed, changed_by, changed_at) VALUES ($1, $2, $3, false, $4, $5)
ON CONFLICT (action) DO UPDATE SET labels = excluded.labels, items = excluded.items, removed = false,
    changed_by = excluded.changed_by, changed_at = excluded.changed_at

-- name: unregister
-- No longer an action; requests for it are declined.
UPDATE registered_action SET removed = true, changed_by = $2, changed_at = $3 WHERE action = $1 AND NOT removed RETURNING action

-- name: switch
-- Whether a customer is asked from now on.
INSERT INTO confirmation_switch (customer, is_on, changed_by, changed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (customer) DO UPDATE SET is_on = excluded.is_on, changed_by = excluded.changed_by, changed_at = excluded.changed_at

-- name: requests
-- Requests as they were taken in, each with its open question if there is one.
SELECT r.*, c.id AS confirmation_id FROM action_request r
LEFT JOIN LATERAL (SELECT id FROM confirmation WHERE request = r.id ORDER BY asked_at DESC, state = 'open' DESC LIMIT 1) c ON true
WHERE r.id = ANY ($1::text[])

-- name: lock_requests
-- The same request twice at once: one of them waits.
SELECT pg_advisory_xact_lock(hashtext('tallyport.request'), hashtext(id)) FROM unnest($1::text[]) AS id

-- name: put_request
-- Take a request in, as it stands: open, or decided.
INSERT INTO action_request (id, payload_sha256, action, customer, request, correlation_id, requested_at, quote, state,
                            decision, reason, decided_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: step
-- A request goes from one state to the next; nothing happens if it is not where it was thought to be.
UPDATE action_request SET state = $3, decision = $4, reason = $5, quote = $6, decided_at = $7
WHERE id = $1 AND state = $2 RETURNING id

-- name: put_outcome
-- What the emitter made of an allowed action.
UPDATE action_request SET state = $3, outcome_detail = $4, outcome_by = $5, outcome_at = $6
WHERE id = $1 AND state = $2 RETURNING id

-- name: break_glass
-- The gate stands open until then.
INSERT INTO break_glass (reason, begun_by, begun_at, ends_at) VALUES ($1, $2, $3, $4) RETURNING number

-- name: mend_glass
-- The gate is shut again.
UPDATE break_glass SET ended_by = $1, ends_at = greatest(begun_at + interval '1 microsecond', $2)
WHERE ends_at > $2 AND ended_by IS NULL RETURNING number

-- name: glasses
-- When the gate stood open and why, newest first.
SELECT number, reason, begun_by, begun_at, ends_at, ended_by FROM break_glass ORDER BY number DESC LIMIT 100
