-- name: put
-- Queue one message for the broker.
INSERT INTO spool (topic, key, value, headers, bytes, created_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: next_messages
-- The oldest messages, in order.
SELECT id, topic, key, value, headers, bytes FROM spool ORDER BY id LIMIT ?

-- name: acknowledged
-- Forget the messages up to this one: the broker has them.
DELETE FROM spool WHERE id <= ?

-- name: total
-- How much waits.
SELECT records, bytes FROM spool_total

-- name: oldest
-- Since when the oldest message waits.
SELECT created_at FROM spool ORDER BY id LIMIT 1
