-- name: note_download
-- Somebody fetched a part, or was given a way to.
INSERT INTO report_download (report_id, number, at, by, how) VALUES ($1, $2, $3, $4, $5)

-- name: downloads
-- Who fetched a report, newest first.
SELECT number, at, by, how FROM report_download WHERE report_id = $1 ORDER BY id DESC LIMIT $2
