-- Messages for the broker, in order; deleted when acknowledged. Header values are text of one character a byte.
CREATE TABLE spool (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    topic      TEXT NOT NULL,
    key        BLOB,
    value      BLOB,
    headers    TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at TEXT NOT NULL
);

-- What the spool holds, so that nobody has to add it up.
CREATE TABLE spool_total (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    records INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
);
INSERT INTO spool_total VALUES (1, 0, 0);
CREATE TRIGGER spool_grows AFTER INSERT ON spool BEGIN
    UPDATE spool_total SET records = records + 1, bytes = bytes + new.bytes;
END;
CREATE TRIGGER spool_shrinks AFTER DELETE ON spool BEGIN
    UPDATE spool_total SET records = records - 1, bytes = bytes - old.bytes;
END;

-- Files that were taken: written in the transaction that spools their samples.
CREATE TABLE taken_file (
    source      TEXT NOT NULL,
    name        TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    destination TEXT NOT NULL,
    run_id      TEXT NOT NULL,
    taken_at    TEXT NOT NULL,
    PRIMARY KEY (source, name, sha256)
) WITHOUT ROWID;

-- Requests that came over Kafka, so that one that comes twice is done once.
CREATE TABLE request (
    source      TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    received_at TEXT NOT NULL,
    PRIMARY KEY (source, event_id)
) WITHOUT ROWID;

-- One reading of one source: queued, running, then succeeded, partial or failed.
CREATE TABLE run (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id        TEXT NOT NULL,
    source        TEXT NOT NULL,
    state         TEXT NOT NULL,
    started_at    TEXT,
    finished_at   TEXT,
    samples       INTEGER NOT NULL DEFAULT 0,
    objects       INTEGER NOT NULL DEFAULT 0,
    failure_count INTEGER NOT NULL DEFAULT 0,
    failures      TEXT NOT NULL DEFAULT '[]',
    UNIQUE (run_id, source)
);
CREATE INDEX run_waiting ON run (source, number) WHERE state IN ('queued', 'running');
CREATE INDEX run_started ON run (source, started_at);
CREATE INDEX run_finished ON run (finished_at);
