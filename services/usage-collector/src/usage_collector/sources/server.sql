-- name: databases
-- Every database of the server that is no template.
SELECT oid, datname FROM pg_database WHERE NOT datistemplate ORDER BY datname

-- name: size_of
-- What one database takes on disk, in bytes; NULL when it was dropped meanwhile.
SELECT pg_database_size($1::oid)
