-- Reports: what was asked for, how far it is, and the artifacts that came of it.

CREATE TABLE report (
    report_id      text        COLLATE "C" PRIMARY KEY,
    kind           text        NOT NULL,
    format         text        NOT NULL CHECK (format IN ('csv', 'xls', 'xlsx', 'xml')),
    from_date      date        NOT NULL,
    to_date        date        NOT NULL CHECK (to_date >= from_date),
    organisation   text,
    language       text        NOT NULL,
    state          text        NOT NULL CHECK (state IN ('requested', 'rendering', 'ready', 'failed')),
    -- The revisions the report is made from, fixed when rendering first begins: a render that is taken up again after a
    -- crash makes the same bytes, whatever was loaded meanwhile.
    batches        jsonb,
    missing        date[]      NOT NULL DEFAULT '{}',
    completeness   jsonb       NOT NULL DEFAULT '{}',
    rows_done      bigint      NOT NULL DEFAULT 0,
    rows_total     bigint,
    attempts       integer     NOT NULL DEFAULT 0,
    totals         jsonb       NOT NULL DEFAULT '{}',
    reason         text,
    correlation_id text,
    requested_at   timestamptz NOT NULL,
    finished_at    timestamptz,
    CHECK (state <> 'failed' OR reason IS NOT NULL),
    CHECK ((finished_at IS NOT NULL) = (state IN ('ready', 'failed')))
);
CREATE INDEX report_open ON report (requested_at) WHERE state IN ('requested', 'rendering');
CREATE INDEX report_latest ON report (requested_at DESC);

CREATE TABLE report_part (
    report_id text    COLLATE "C" NOT NULL REFERENCES report,
    number    integer NOT NULL CHECK (number >= 1),
    key       text    NOT NULL UNIQUE,
    uri       text    NOT NULL,
    size      bigint  NOT NULL CHECK (size >= 0),
    sha256    text    NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    rows      bigint  NOT NULL CHECK (rows >= 0),
    PRIMARY KEY (report_id, number)
);

GRANT SELECT, INSERT, UPDATE ON report TO report_builder;
GRANT SELECT, INSERT ON report_part TO report_builder;
