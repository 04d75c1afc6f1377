-- How many lines a loaded batch has in each currency, counted when it was verified: a report of the whole batch need not
-- count them again. Empty for a batch that was loaded before this column was there.
ALTER TABLE batch ADD COLUMN currency_lines jsonb NOT NULL DEFAULT '{}';
