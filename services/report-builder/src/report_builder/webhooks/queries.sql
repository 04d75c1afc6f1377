-- name: enqueue
-- A message for a receiver, in the transaction of what it tells of; once for each event.
INSERT INTO webhook_delivery (webhook, event_id, type, body, created_at, next_at)
VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (webhook, event_id) DO NOTHING

-- name: take
-- The message of a receiver that waits longest and is due: nobody else tries it for the lease, $3, in seconds.
UPDATE webhook_delivery
SET attempts = attempts + 1, next_at = $2 + make_interval(secs => $3)
WHERE id = (
    SELECT id FROM webhook_delivery
    WHERE webhook = $1 AND state = 'waiting' AND next_at <= $2
    ORDER BY next_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, event_id, body, attempts

-- name: settle
-- What came of a try: delivered, given up, or waiting for the next one.
UPDATE webhook_delivery
SET state = $2, status = $3, error = $4, next_at = $5, settled_at = $6
WHERE id = $1 AND state = 'waiting'

-- name: next_due
-- When the next message of a receiver is due.
SELECT min(next_at) FROM webhook_delivery WHERE webhook = $1 AND state = 'waiting'

-- name: counts
-- How many messages of each receiver wait, were delivered and were given up, and when one was delivered last.
SELECT webhook,
    count(*) FILTER (WHERE state = 'waiting') AS waiting,
    count(*) FILTER (WHERE state = 'delivered') AS delivered,
    count(*) FILTER (WHERE state = 'given_up') AS given_up,
    max(settled_at) FILTER (WHERE state = 'delivered') AS last_delivered_at
FROM webhook_delivery
GROUP BY webhook

-- name: deliveries
-- The messages of a receiver, newest first, before one of them if it is named; without their bodies.
SELECT id, event_id, type, state, attempts, status, error, created_at, next_at, settled_at
FROM webhook_delivery
WHERE webhook = $1 AND ($2::bigint IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3

-- name: replay
-- Send a receiver again what was settled, since a moment: all of it, or only what was given up.
UPDATE webhook_delivery
SET state = 'waiting', attempts = 0, next_at = $3, settled_at = NULL, status = NULL, error = NULL
WHERE webhook = $1 AND created_at >= $2 AND (state = 'given_up' OR (NOT $4 AND state = 'delivered'))

-- name: forget
-- Settled messages are kept for a while, so that they can be replayed.
DELETE FROM webhook_delivery WHERE state <> 'waiting' AND created_at < $1
