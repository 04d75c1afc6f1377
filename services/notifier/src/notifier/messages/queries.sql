-- name: texts_for
-- The words of an action ($1), and those of actions without words of their own, in any of these languages.
SELECT action, language, format, text FROM message_text WHERE action IN ($1, '*') AND language = ANY ($2::text[])

-- name: texts
-- Everything that administrators have written.
SELECT action, language, format, text, changed_by, changed_at FROM message_text ORDER BY action, language

-- name: put_text
-- The words of an action in a language, from now on.
INSERT INTO message_text (action, language, format, text, changed_by, changed_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (action, language) DO UPDATE SET
    format = excluded.format, text = excluded.text, changed_by = excluded.changed_by, changed_at = excluded.changed_at

-- name: remove_text
-- Back to the words that come with the gate.
DELETE FROM message_text WHERE action = $1 AND language = $2 RETURNING format, text
