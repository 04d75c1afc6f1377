-- name: register_counters
-- Give new counter names their numbers.
INSERT INTO counter (name) SELECT DISTINCT unnest($1::text[]) ON CONFLICT (name) DO NOTHING

-- name: counter_numbers
-- The numbers of these counters.
SELECT name, counter_no FROM counter WHERE name = ANY ($1::text[])

-- name: all_object_keys
-- Every object with its key: customer number in the high half, object number in the low half.
SELECT id, (customer_no::bigint << 32) | object_no AS key FROM billable_object

-- name: object_keys
-- The keys of these objects, as far as they exist.
SELECT id, (customer_no::bigint << 32) | object_no AS key FROM billable_object WHERE id = ANY ($1::text[])

-- name: ensure_day
-- Make room for a day's samples.
SELECT ensure_usage_day($1)

-- name: insert_samples
-- The usual case: none of these samples is there yet. One row a chunk comes in; its keys and values are array literals.
INSERT INTO usage_sample (day, customer_no, object_no, counter_no, measured_at, value, stated_at, source_id)
SELECT c.day, (s.key >> 32)::integer, (s.key & 4294967295)::integer, c.counter_no, c.measured_at, s.value, c.stated_at, c.source_id
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::date[], $5::timestamptz[], $6::timestamptz[], $7::integer[])
    AS c (keys, numbers, counter_no, day, measured_at, stated_at, source_id)
CROSS JOIN LATERAL unnest(c.keys::bigint[], c.numbers::numeric[]) AS s (key, value)
ORDER BY s.key, c.counter_no, c.measured_at

-- name: merge_samples
-- The general case: of several words on the same measurement the one stated last counts, then the greater value.
INSERT INTO usage_sample AS u (day, customer_no, object_no, counter_no, measured_at, value, stated_at, source_id)
SELECT DISTINCT ON (s.key, c.counter_no, c.measured_at, c.day)
       c.day, (s.key >> 32)::integer, (s.key & 4294967295)::integer, c.counter_no, c.measured_at, s.value, c.stated_at, c.source_id
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::date[], $5::timestamptz[], $6::timestamptz[], $7::integer[])
    AS c (keys, numbers, counter_no, day, measured_at, stated_at, source_id)
CROSS JOIN LATERAL unnest(c.keys::bigint[], c.numbers::numeric[]) AS s (key, value)
ORDER BY s.key, c.counter_no, c.measured_at, c.day, c.stated_at DESC, s.value DESC
ON CONFLICT (customer_no, object_no, counter_no, measured_at, day) DO UPDATE SET
    value = excluded.value, stated_at = excluded.stated_at, source_id = excluded.source_id
WHERE (excluded.stated_at, excluded.value) > (u.stated_at, u.value)

-- name: park_samples
-- Samples of objects nobody has told of yet, by the same rule.
INSERT INTO parked_sample AS p (object_id, counter_no, measured_at, day, value, stated_at, source_id)
SELECT DISTINCT ON (s.object_id, c.counter_no, c.measured_at, c.day)
       s.object_id, c.counter_no, c.measured_at, c.day, s.value, c.stated_at, c.source_id
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::date[], $5::timestamptz[], $6::timestamptz[], $7::integer[])
    AS c (object_ids, numbers, counter_no, day, measured_at, stated_at, source_id)
CROSS JOIN LATERAL ROWS FROM (jsonb_array_elements_text(c.object_ids::jsonb), unnest(c.numbers::numeric[]))
    AS s (object_id, value)
ORDER BY s.object_id, c.counter_no, c.measured_at, c.day, c.stated_at DESC, s.value DESC
ON CONFLICT (object_id, counter_no, measured_at, day) DO UPDATE SET
    value = excluded.value, stated_at = excluded.stated_at, source_id = excluded.source_id
WHERE (excluded.stated_at, excluded.value) > (p.stated_at, p.value)

-- name: pass_fence
-- Which of the days $1 are closed; none of them is closed before this transaction ends.
SELECT pass_usage_fence($1)

-- name: shut_fence
-- Wait until whatever is being taken in is there, and hold up the rest until this transaction ends.
SELECT pg_advisory_xact_lock(hashtext('tallyport.usage'))

-- name: close_day
-- From now on what arrives for day $1 is late for the batch $2, revision $3.
INSERT INTO usage_day_closed (day, batch_date, revision) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: mark_late
-- Note that there is something late of these objects, of those of the chunks whose day is among $4.
INSERT INTO late_usage (customer_no, object_no, counter_no, day)
SELECT DISTINCT (s.key >> 32)::integer, (s.key & 4294967295)::integer, c.counter_no, c.day
FROM unnest($1::text[], $2::smallint[], $3::date[]) AS c (keys, counter_no, day)
CROSS JOIN LATERAL unnest(c.keys::bigint[]) AS s (key)
WHERE c.day = ANY ($4::date[])
ORDER BY 1, 2, 3, 4
ON CONFLICT (customer_no, object_no, counter_no, day) DO UPDATE SET last_seen = now(), marked_in = pg_current_xact_id()

-- name: unpark_samples
-- Move parked samples whose object exists by now; $1 narrows to these objects, null means all. Those of closed days are late.
-- Needs the fence.
WITH freed AS (
    DELETE FROM parked_sample p USING billable_object b
    WHERE b.id = p.object_id AND ($1::text[] IS NULL OR p.object_id = ANY ($1))
    RETURNING p.day, b.customer_no, b.object_no, p.counter_no, p.measured_at, p.value, p.stated_at, p.source_id
), late AS (
    INSERT INTO late_usage (customer_no, object_no, counter_no, day)
    SELECT DISTINCT customer_no, object_no, counter_no, day FROM freed
    WHERE EXISTS (SELECT FROM usage_day_closed c WHERE c.day = freed.day)
    ORDER BY 1, 2, 3, 4
    ON CONFLICT (customer_no, object_no, counter_no, day) DO UPDATE SET last_seen = now(), marked_in = pg_current_xact_id()
)
INSERT INTO usage_sample AS u (day, customer_no, object_no, counter_no, measured_at, value, stated_at, source_id)
SELECT * FROM freed
ON CONFLICT (customer_no, object_no, counter_no, measured_at, day) DO UPDATE SET
    value = excluded.value, stated_at = excluded.stated_at, source_id = excluded.source_id
WHERE (excluded.stated_at, excluded.value) > (u.stated_at, u.value)

-- name: parked_count
-- How many samples wait for their object.
SELECT count(*) FROM parked_sample
