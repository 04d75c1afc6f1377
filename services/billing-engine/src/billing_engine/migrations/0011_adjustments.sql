-- What an administrator charges or credits by hand. Who said what never changes; a row is approved, withdrawn, or bound to
-- the batch date that bills it.

CREATE TABLE adjustment (
    customer_no   integer     NOT NULL REFERENCES organisation,
    adjustment_no integer     GENERATED ALWAYS AS IDENTITY,
    amount        numeric     NOT NULL CHECK (amount <> 0 AND amount > '-Infinity' AND amount < 'Infinity'),
    currency      text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    description   text        NOT NULL,
    reason        text        NOT NULL CHECK (reason ~ '^[a-z0-9][a-z0-9_-]*$'),
    service       text,
    reference     text,
    author        text        NOT NULL,
    created_at    timestamptz NOT NULL,
    approved_by   text,
    approved_at   timestamptz,
    withdrawn_by  text,
    withdrawn_at  timestamptz,
    batch_date    date,
    PRIMARY KEY (customer_no, adjustment_no),
    CHECK (approved_by <> author),
    CHECK (batch_date IS NULL OR approved_at IS NOT NULL)
);
-- Numbers are given once; that the index does not say so lets the table be spread by customer.
CREATE INDEX adjustment_number ON adjustment (adjustment_no);

-- Where a revision's lines end that are about its own usage day.
ALTER TABLE transfer_snapshot ADD COLUMN first_extra_chunk integer;

GRANT SELECT, INSERT ON adjustment TO billing_engine;
GRANT UPDATE (approved_by, approved_at, withdrawn_by, withdrawn_at, batch_date) ON adjustment TO billing_engine;
