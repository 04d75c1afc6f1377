-- The currency of the amounts that a level says, where it is not the plan's; the same for all values of one override. And
-- the rates at which amounts are converted: one from_currency is rate of to_currency, from valid_from on.

ALTER TABLE plan_override ADD COLUMN currency text CHECK (currency ~ '^[A-Z]{3}$');

CREATE TABLE conversion_rate (
    from_currency text    NOT NULL CHECK (from_currency ~ '^[A-Z]{3}$'),
    to_currency   text    NOT NULL CHECK (to_currency ~ '^[A-Z]{3}$'),
    valid_from    date    NOT NULL,
    rate          numeric NOT NULL CHECK (rate > 0 AND rate < 'Infinity'),
    PRIMARY KEY (from_currency, to_currency, valid_from),
    CHECK (from_currency <> to_currency)
);

GRANT SELECT, INSERT, DELETE ON conversion_rate TO billing_engine;

-- A missed batch is converted by what was declared when it was due.
SELECT keep_versions_of('conversion_rate');
