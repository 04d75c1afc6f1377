-- Who changed what, when and why: one row a change, in the transaction of the change. Rows are only ever added, and each
-- holds the hash of the one before, so that one that was altered or taken out is found. Times, texts and the hash are
-- made into what is hashed as billing_engine/audit/model.py makes them; a test holds the two together.

CREATE TABLE audit_entry (
    audit_no        bigint      PRIMARY KEY CHECK (audit_no > 0),
    at              timestamptz NOT NULL,
    who             text        NOT NULL,
    organisation    text,
    action          text        NOT NULL,
    entity          text        NOT NULL,
    before          text,
    after           text,
    reason          text        NOT NULL,
    previous_sha256 text        NOT NULL,
    sha256          text        NOT NULL
);
CREATE INDEX audit_entry_entity ON audit_entry (entity, audit_no);
CREATE INDEX audit_entry_who ON audit_entry (who, audit_no);

CREATE FUNCTION text_sha256(said text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(encode(sha256(convert_to(said, 'UTF8')), 'hex'), '-') $$;

-- The number and the hashes are the database's: whoever writes an entry cannot choose them.
CREATE FUNCTION chain_audit_entry() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    last record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tallyport.audit'));
    SELECT audit_no, sha256 INTO last FROM audit_entry ORDER BY audit_no DESC LIMIT 1;
    NEW.audit_no := coalesce(last.audit_no, 0) + 1;
    NEW.previous_sha256 := coalesce(last.sha256, '-');
    NEW.sha256 := text_sha256(concat_ws(E'\n', 'tallyport-audit-v1', NEW.audit_no,
        to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        text_sha256(NEW.who), text_sha256(NEW.organisation), text_sha256(NEW.action), text_sha256(NEW.entity),
        text_sha256(NEW.before), text_sha256(NEW.after), text_sha256(NEW.reason), NEW.previous_sha256));
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_entry_is_chained BEFORE INSERT ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION chain_audit_entry();

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever added to (% on %)', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_entry_stays BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_entry_stays_whole BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

GRANT SELECT ON audit_entry TO billing_engine;
GRANT INSERT (at, who, organisation, action, entity, before, after, reason) ON audit_entry TO billing_engine;
