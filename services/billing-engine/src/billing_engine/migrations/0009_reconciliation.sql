-- What collectors say of their runs, for the completeness statement of a batch.
CREATE TABLE collection_run (
    source        text        NOT NULL,
    run_id        text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('succeeded', 'partial', 'failed')),
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz NOT NULL,
    samples       bigint      NOT NULL CHECK (samples >= 0),
    objects       bigint      NOT NULL CHECK (objects >= 0),
    failure_count bigint      NOT NULL CHECK (failure_count >= 0),
    places        text[]      NOT NULL,
    PRIMARY KEY (source, run_id)
);
CREATE INDEX collection_run_finished ON collection_run (finished_at);
GRANT SELECT, INSERT ON collection_run TO billing_engine;

-- Findings of a reconciliation that somebody has looked at. A finding's id says what it is about, so it is the same the
-- next day; one that is acknowledged until a date comes back after it.
CREATE TABLE acknowledged_finding (
    finding_id      text        NOT NULL CHECK (finding_id ~ '^[0-9a-f]{16}$'),
    acknowledged_at timestamptz NOT NULL,
    acknowledged_by text        NOT NULL,
    reason          text        NOT NULL CHECK (reason <> ''),
    until           date,
    PRIMARY KEY (finding_id, acknowledged_at)
);
GRANT SELECT, INSERT ON acknowledged_finding TO billing_engine;
