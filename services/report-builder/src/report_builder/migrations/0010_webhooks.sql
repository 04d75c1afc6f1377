-- What receivers are told of reports: noted with the event, sent until it is taken or given up.

CREATE TABLE webhook_delivery (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook    text        COLLATE "C" NOT NULL,
    -- The id of the event in Kafka: receivers know a repetition by it, and both ways tell the same.
    event_id   text        COLLATE "C" NOT NULL,
    type       text        NOT NULL,
    body       bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    state      text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'given_up')),
    attempts   integer     NOT NULL DEFAULT 0,
    -- When it is tried next; while it is being tried, when another instance may take it for lost.
    next_at    timestamptz NOT NULL,
    status     integer,
    error      text,
    settled_at timestamptz,
    UNIQUE (webhook, event_id),
    CHECK ((settled_at IS NULL) = (state = 'waiting'))
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook, next_at, id) WHERE state = 'waiting';
CREATE INDEX webhook_delivery_latest ON webhook_delivery (webhook, id DESC);
CREATE INDEX webhook_delivery_settled ON webhook_delivery (created_at) WHERE state <> 'waiting';

GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_delivery TO report_builder;
