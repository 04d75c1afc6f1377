-- name: add_entries
-- Entries in order; the number and the hashes are the database's.
INSERT INTO audit_entry (at, who, organisation, action, entity, before, after, reason)
SELECT c.at, c.who, c.organisation, c.action, c.entity, c.before, c.after, c.reason
FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
     WITH ORDINALITY AS c (at, who, organisation, action, entity, before, after, reason, n) ORDER BY n

-- name: entries_before
-- The newest entries before a number, narrowed by entity (or what begins with it and a colon), author and time.
SELECT audit_no, at, who, organisation, action, entity, before, after, reason, previous_sha256, sha256 FROM audit_entry
WHERE audit_no < $1 AND ($2::text IS NULL OR entity = $2 OR starts_with(entity, $2 || ':'))
  AND ($3::text IS NULL OR who = $3) AND ($4::timestamptz IS NULL OR at >= $4)
ORDER BY audit_no DESC LIMIT $5

-- name: entries_after
-- The next entries, oldest first, to follow the chain.
SELECT audit_no, at, who, organisation, action, entity, before, after, reason, previous_sha256, sha256 FROM audit_entry
WHERE audit_no > $1 ORDER BY audit_no LIMIT $2
