-- Who asked for a report, from where in the tree, and which organisations may see it. A report can be cancelled while it is
-- not finished.

ALTER TABLE report
    -- The name of the token, the schedule or the topic that the request came by.
    ADD COLUMN asked_by text NOT NULL DEFAULT '',
    -- The organisation that the asker is bound to: it gets no batch in which it does not stand above what it asked about.
    -- Null is the provider.
    ADD COLUMN asker_organisation text COLLATE "C",
    -- Those at and above the report's organisation in every batch that it is made from; nobody for a report about all.
    ADD COLUMN visible_to text[] COLLATE "C" NOT NULL DEFAULT '{}';
UPDATE report SET visible_to = ARRAY[organisation] WHERE organisation IS NOT NULL;

DO $$
DECLARE
    old text;
BEGIN
    FOR old IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = 'public.report'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%state%'
    LOOP
        EXECUTE format('ALTER TABLE report DROP CONSTRAINT %I', old);
    END LOOP;
END
$$;
ALTER TABLE report
    ADD CONSTRAINT report_state_check CHECK (state IN ('requested', 'rendering', 'ready', 'failed', 'cancelled')),
    ADD CONSTRAINT report_reason_check CHECK (state NOT IN ('failed', 'cancelled') OR reason IS NOT NULL),
    ADD CONSTRAINT report_finished_check CHECK ((finished_at IS NOT NULL) = (state IN ('ready', 'failed', 'cancelled')));

-- The list of the latest goes on from any of its rows.
DROP INDEX report_latest;
CREATE INDEX report_latest ON report (requested_at DESC, report_id DESC);
