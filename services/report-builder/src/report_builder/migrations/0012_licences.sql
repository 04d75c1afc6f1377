-- Licences: what is counted, the counts that are entered by hand, and how the provider bills. What was noted stays, and a
-- later row counts instead: a report of the past finds what was valid then.

CREATE TABLE licence_document (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document jsonb       NOT NULL,
    noted_at timestamptz NOT NULL,
    noted_by text        NOT NULL,
    reason   text        NOT NULL
);

CREATE TABLE licence_manual_count (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    licence    text        COLLATE "C" NOT NULL,
    valid_from date        NOT NULL,
    count      bigint      NOT NULL CHECK (count >= 0),
    noted_at   timestamptz NOT NULL,
    noted_by   text        NOT NULL,
    reason     text        NOT NULL CHECK (reason <> '')
);
CREATE INDEX licence_manual_count_valid ON licence_manual_count (licence, valid_from, number);

CREATE TABLE billing_settings (
    number        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    valid_from    date        NOT NULL,
    licence_model text        NOT NULL CHECK (licence_model IN ('perpetual', 'subscription')),
    counts        text        NOT NULL CHECK (counts IN ('allocated', 'used')),
    billing_mode  text        NOT NULL CHECK (billing_mode IN ('OPEX', 'CAPEX')),
    assurance     boolean     NOT NULL,
    move_to_cloud boolean     NOT NULL,
    noted_at      timestamptz NOT NULL,
    noted_by      text        NOT NULL,
    reason        text        NOT NULL
);

CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON licence_document
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON licence_manual_count
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON billing_settings
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON licence_document EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON licence_manual_count EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_settings EXECUTE FUNCTION refuse_change_of_log();

-- What the collectors said of their reading of inventories; one row for each source that took part in a run.
CREATE TABLE inventory_run (
    run_id            text        COLLATE "C" NOT NULL,
    source            text        COLLATE "C" NOT NULL,
    state             text        NOT NULL CHECK (state IN ('succeeded', 'partial', 'failed')),
    started_at        timestamptz NOT NULL,
    finished_at       timestamptz NOT NULL,
    objects           bigint      NOT NULL CHECK (objects >= 0),
    customers_reached bigint      NOT NULL CHECK (customers_reached >= 0),
    not_reached       text[]      COLLATE "C" NOT NULL,
    not_reached_count bigint      NOT NULL CHECK (not_reached_count >= 0),
    failure_count     bigint      NOT NULL CHECK (failure_count >= 0),
    PRIMARY KEY (run_id, source)
);
CREATE INDEX inventory_run_latest ON inventory_run (finished_at DESC, run_id DESC);
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON inventory_run
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON inventory_run EXECUTE FUNCTION refuse_change_of_log();

GRANT SELECT, INSERT ON licence_document, licence_manual_count, billing_settings, inventory_run TO report_builder;

ALTER TABLE report
    -- What was asked for instead of what the settings say, and which inventory run.
    ADD COLUMN counts text CHECK (counts IN ('allocated', 'used')),
    ADD COLUMN billing_mode text CHECK (billing_mode IN ('OPEX', 'CAPEX')),
    ADD COLUMN run text,
    -- What else but batches the report is made from, by value, fixed together with those.
    ADD COLUMN terms jsonb;
