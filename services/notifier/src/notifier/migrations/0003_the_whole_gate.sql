-- Who was told what, chained: the entries there are move into a log in which each holds the hash of the one before.
ALTER TABLE audit_entry RENAME TO audit_entry_unchained;
DROP TRIGGER audit_entry_is_final ON audit_entry_unchained;

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

-- The number and the hashes are the database's: whoever writes an entry cannot choose them. They are made into what is
-- hashed as tallyport/audit.py makes them; a test holds the two together.
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
CREATE TRIGGER audit_entry_is_chained BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION chain_audit_entry();
INSERT INTO audit_entry (at, who, action, entity, after, reason)
SELECT at, who, what, CASE WHEN what = 'tick' THEN 'action:' WHEN what = 'switch' THEN 'switch:' ELSE 'request:' END || about,
       detail::text, '' FROM audit_entry_unchained ORDER BY number;
DROP TABLE audit_entry_unchained;
CREATE TRIGGER audit_entry_stays BEFORE UPDATE OR DELETE ON audit_entry FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entry_stays_whole BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Actions that the provider has registered itself. A removed one stays known, so that old requests keep their name.
CREATE TABLE registered_action (
    action     text        PRIMARY KEY,
    labels     jsonb       NOT NULL,
    items      jsonb       NOT NULL,
    removed    boolean     NOT NULL DEFAULT false,
    changed_by text        NOT NULL,
    changed_at timestamptz NOT NULL
);

ALTER TABLE action_setting
    ADD COLUMN other_person  boolean NOT NULL DEFAULT false,
    ADD COLUMN two_above     jsonb   NOT NULL DEFAULT '{}',
    ADD COLUMN valid_minutes integer CHECK (valid_minutes BETWEEN 1 AND 10080);

-- The provider's own words; action '*' is what an action without words of its own says.
CREATE TABLE message_text (
    action     text        NOT NULL,
    language   text        NOT NULL,
    format     text        NOT NULL CHECK (format IN ('plain', 'markdown')),
    text       text        NOT NULL CHECK (length(text) BETWEEN 1 AND 2000),
    changed_by text        NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (action, language)
);

-- The state of a request, as notifier/actions/states.py has it.
ALTER TABLE action_request
    ADD COLUMN state          text,
    ADD COLUMN expires_at     timestamptz,
    ADD COLUMN outcome_detail text,
    ADD COLUMN outcome_by     text,
    ADD COLUMN outcome_at     timestamptz;
UPDATE action_request SET state = CASE
    WHEN decision = 'allowed' THEN 'allowed' WHEN reason = 'expired' THEN 'expired'
    WHEN decision = 'declined' THEN 'declined' ELSE 'open' END;
UPDATE action_request r SET expires_at = c.expires_at FROM confirmation c WHERE c.request = r.id AND c.state = 'open';
ALTER TABLE action_request
    ALTER COLUMN state SET NOT NULL,
    ADD CHECK (state IN ('open', 'half_confirmed', 'allowed', 'declined', 'expired', 'performed', 'failed')),
    ADD CHECK ((decision IS NULL) = (state IN ('open', 'half_confirmed'))),
    ADD CHECK ((decision IS NOT DISTINCT FROM 'allowed') = (state IN ('allowed', 'performed', 'failed'))),
    ADD CHECK ((outcome_at IS NOT NULL) = (state IN ('performed', 'failed'))),
    ADD CHECK (state NOT IN ('open', 'half_confirmed') OR expires_at IS NOT NULL);
CREATE INDEX action_request_allowed ON action_request (decided_at) WHERE state = 'allowed';
CREATE INDEX action_request_customer ON action_request (customer, decided_at);

ALTER TABLE confirmation
    ADD COLUMN message_html text,
    ADD COLUMN needed       smallint NOT NULL DEFAULT 1 CHECK (needed IN (1, 2)),
    ADD COLUMN other_person boolean  NOT NULL DEFAULT false,
    ADD COLUMN confirmed_by text[]   NOT NULL DEFAULT '{}';
CREATE INDEX confirmation_customer ON confirmation (customer, asked_at);
CREATE INDEX confirmation_request ON confirmation (request, asked_at);

-- Tokens for one question each; what is kept is their SHA-256.
CREATE TABLE confirmation_token (
    sha256       bytea       PRIMARY KEY,
    confirmation text        NOT NULL REFERENCES confirmation,
    person       text,
    made_by      text        NOT NULL,
    made_at      timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz
);
CREATE INDEX confirmation_token_expiry ON confirmation_token (expires_at);

CREATE TABLE answer_rate (
    caller      text        PRIMARY KEY,
    begun_at    timestamptz NOT NULL,
    attempts    integer     NOT NULL
);

CREATE TABLE break_glass (
    number   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason   text        NOT NULL CHECK (length(reason) BETWEEN 3 AND 500),
    begun_by text        NOT NULL,
    begun_at timestamptz NOT NULL,
    ends_at  timestamptz NOT NULL CHECK (ends_at > begun_at AND ends_at <= begun_at + interval '24 hours'),
    ended_by text
);

-- What was seen to be bought, whoever asked: users and instances with their plans, and each change while the gate was shut.
CREATE TABLE seen_plan (
    kind             text    NOT NULL CHECK (kind IN ('subscription', 'service_instance')),
    id               text    NOT NULL,
    instance         text    NOT NULL,
    customer         text,
    plan             text,
    source_partition integer NOT NULL,
    source_offset    bigint  NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE TABLE seen_change (
    number   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     text        NOT NULL,
    id       text        NOT NULL,
    instance text        NOT NULL,
    old_plan text,
    new_plan text        NOT NULL,
    at       timestamptz NOT NULL
);
CREATE INDEX seen_change_at ON seen_change (at);
-- What was there before somebody looked is no news.
CREATE TABLE looking_since (at timestamptz NOT NULL);
INSERT INTO looking_since VALUES (now());

GRANT SELECT, INSERT, UPDATE ON registered_action, message_text, confirmation_token, answer_rate, break_glass, seen_plan TO notifier;
GRANT DELETE ON message_text, confirmation_token, answer_rate TO notifier;
GRANT SELECT, INSERT ON seen_change TO notifier;
GRANT SELECT ON looking_since, audit_entry TO notifier;
GRANT INSERT (at, who, organisation, action, entity, before, after, reason) ON audit_entry TO notifier;
