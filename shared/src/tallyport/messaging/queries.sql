-- name: register_sources
-- Give each event source a number; those known already stay as they are.
INSERT INTO event_source (source) SELECT unnest($1::text[]) ON CONFLICT (source) DO NOTHING

-- name: source_numbers
-- The numbers of the named sources.
SELECT source, source_id FROM event_source WHERE source = ANY ($1::text[])

-- name: accept_events
-- Take in what was never seen; the answer holds only what is new. Ids come back in the form they were given.
WITH incoming AS (
    SELECT * FROM unnest($1::text::integer[], $2::text::text[], $3::bytea[]) AS i (source_id, id, payload_sha256)
), entered AS (
    INSERT INTO inbox (source_id, id, payload_sha256)
    SELECT source_id, id::uuid, payload_sha256 FROM incoming ORDER BY 1, 2
    ON CONFLICT (source_id, id) DO NOTHING
    RETURNING source_id, id
)
SELECT i.source_id, i.id FROM incoming i JOIN entered e ON e.source_id = i.source_id AND e.id = i.id::uuid

-- name: known_hashes
-- What the inbox holds of these events, to tell a duplicate from a conflict.
SELECT i.source_id, wanted.id, i.payload_sha256
FROM unnest($1::text::integer[], $2::text::text[]) AS wanted (source_id, id)
JOIN inbox i ON i.source_id = wanted.source_id AND i.id = wanted.id::uuid

-- name: forget_events
-- Take a rejected event out again, so that its replay is not a duplicate of something that had no effect.
DELETE FROM inbox i
USING unnest($1::text::integer[], $2::text::uuid[]) AS rejected (source_id, id)
WHERE i.source_id = rejected.source_id AND i.id = rejected.id

-- name: purge_inbox
-- Let go of events older than the retention.
DELETE FROM inbox WHERE received_on < current_date - $1::integer

-- name: set_aside
-- Note a record that cannot be used; false where the same record is noted already.
INSERT INTO dead_letter (topic, partition, record_offset, payload_sha256, consumer, reason)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING true

-- name: put_in_outbox
-- Leave a message for the relay, in the transaction of the effect it tells of.
INSERT INTO outbox (topic, key, value, header_names, header_values) VALUES ($1, $2, $3, $4, $5)

-- name: wake_relay
-- Tell the relay, at commit, that there is something to publish.
SELECT pg_notify('outbox', '')

-- name: next_in_outbox
-- The oldest messages not yet published.
SELECT id, topic, key, value, header_names, header_values FROM outbox ORDER BY id LIMIT $1

-- name: published
-- These messages are in Kafka, acknowledged.
DELETE FROM outbox WHERE id = ANY ($1::bigint[])

-- name: outbox_state
-- How many messages wait, and for how long the oldest has.
SELECT count(*) AS depth, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_seconds FROM outbox

-- name: become_relay
-- One relay per database: true where this session is it.
SELECT pg_try_advisory_lock(hashtext('tallyport.outbox'))
