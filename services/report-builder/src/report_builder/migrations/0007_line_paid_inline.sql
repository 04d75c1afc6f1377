-- Called for every line of a reseller's report, twice. Its body was parsed when it was created, so no search path can change
-- what it means; without a setting of its own PostgreSQL makes it part of the statement that calls it instead of calling it.
ALTER FUNCTION line_paid(text, numeric, text, integer) RESET search_path;
