-- The customer leads the key, so that the table can be spread by customer; a whole batch is read by its date.
ALTER TABLE batch_allocation DROP CONSTRAINT batch_allocation_pkey;
ALTER TABLE batch_allocation ADD PRIMARY KEY (customer_id, batch_date, revision, service, plan);
CREATE INDEX batch_allocation_batch ON batch_allocation (batch_date, revision);
