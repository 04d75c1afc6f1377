-- Who fetched an artifact, and when a report's artifacts were let go.

CREATE TABLE report_download (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    report_id text        COLLATE "C" NOT NULL REFERENCES report,
    number    integer     NOT NULL,
    at        timestamptz NOT NULL,
    by        text        NOT NULL,
    how       text        NOT NULL CHECK (how IN ('token', 'link', 'signed_url'))
);
CREATE INDEX report_download_report ON report_download (report_id, id DESC);
CREATE FUNCTION refuse_change_of_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %: what was noted stays', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON report_download
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_log();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON report_download EXECUTE FUNCTION refuse_change_of_log();
GRANT SELECT, INSERT ON report_download TO report_builder;

ALTER TABLE report
    ADD COLUMN let_go_at timestamptz,
    ADD CONSTRAINT report_let_go_check CHECK (let_go_at IS NULL OR state = 'ready');
CREATE INDEX report_kept ON report (finished_at) WHERE state = 'ready' AND let_go_at IS NULL;
