-- Rules by which a line stays in the batch without costing anything. They are tried by rank; the first that matches
-- counts. A criterion that is null matches everything; both dates are inclusive.

CREATE TABLE non_billable_rule (
    rank         integer PRIMARY KEY,
    id           text    NOT NULL UNIQUE,
    reason       text    NOT NULL CHECK (reason ~ '^[a-z0-9][a-z0-9_-]*$'),
    organisation text,
    service      text,
    plan         text,
    user_pattern text,
    status       text,
    valid_from   date,
    valid_to     date,
    CHECK (valid_from <= valid_to),
    CHECK (num_nonnulls(organisation, service, plan, user_pattern, status) > 0)
);

GRANT SELECT, INSERT, DELETE ON non_billable_rule TO billing_engine;
