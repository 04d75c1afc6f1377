-- Reports that are asked for by themselves, and what the collectors say when they are asked before.

CREATE TABLE report_schedule (
    name                text        COLLATE "C" PRIMARY KEY,
    kind                text        NOT NULL,
    format              text        NOT NULL CHECK (format IN ('csv', 'xls', 'xlsx', 'xml')),
    organisation        text        COLLATE "C",
    language            text        NOT NULL,
    period              text        NOT NULL
        CHECK (period IN ('today', 'yesterday', 'last_week', 'month_to_date', 'last_month')),
    every               text        NOT NULL CHECK (every IN ('day', 'week', 'month')),
    day                 integer     NOT NULL CHECK (day BETWEEN 1 AND 31),
    at                  time        NOT NULL,
    zone                text        NOT NULL,
    synchronise_minutes integer     CHECK (synchronise_minutes > 0),
    active              boolean     NOT NULL,
    -- The organisation whose token made it: it asks for no more than that token might. Null is the provider.
    owner               text        COLLATE "C",
    changed_by          text        NOT NULL,
    changed_at          timestamptz NOT NULL,
    next_due_at         timestamptz NOT NULL
);
CREATE INDEX report_schedule_due ON report_schedule (next_due_at) WHERE active;

-- Kept when the schedule goes: a report that was asked for once is not asked for again.
CREATE TABLE report_schedule_run (
    schedule  text        COLLATE "C" NOT NULL,
    due_at    timestamptz NOT NULL,
    report_id text        COLLATE "C" NOT NULL UNIQUE,
    request   jsonb       NOT NULL,
    owner     text        COLLATE "C",
    state     text        NOT NULL CHECK (state IN ('synchronising', 'requested', 'refused')),
    expected  text[]      COLLATE "C" NOT NULL,
    heard     jsonb       NOT NULL DEFAULT '{}',
    deadline  timestamptz,
    outcome   text,
    PRIMARY KEY (schedule, due_at),
    CHECK (state <> 'synchronising' OR deadline IS NOT NULL)
);
CREATE INDEX report_schedule_run_waiting ON report_schedule_run (deadline) WHERE state = 'synchronising';

CREATE TABLE collection_source (
    source   text        COLLATE "C" PRIMARY KEY,
    heard_at timestamptz NOT NULL
);

-- What is known of a report before it is made, for its completeness statement.
ALTER TABLE report ADD COLUMN remarks jsonb NOT NULL DEFAULT '{}';

GRANT SELECT, INSERT, UPDATE, DELETE ON report_schedule TO report_builder;
GRANT SELECT, INSERT, UPDATE ON report_schedule_run, collection_source TO report_builder;
