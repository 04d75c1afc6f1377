-- name: lock_date
-- Whoever decides about a date's transfer decides alone.
SELECT pg_advisory_xact_lock(hashtext('tallyport.transfer'), $1::date - date '2000-01-01')

-- name: newest_transfer
-- The newest revision of a date.
SELECT * FROM transfer WHERE batch_date = $1 ORDER BY revision DESC LIMIT 1

-- name: transfers
-- The newest revision of each of the latest dates.
SELECT DISTINCT ON (batch_date) * FROM transfer ORDER BY batch_date DESC, revision DESC LIMIT $1

-- name: steps
-- A transfer's steps.
SELECT name, state, rows, started_at, finished_at FROM transfer_step WHERE batch_date = $1 AND revision = $2

-- name: running
-- Transfers that have work to do here, oldest first; one that waits for the warehouse has none.
SELECT batch_date, revision FROM transfer WHERE state = 'running' AND step <> 'await-warehouse'
ORDER BY batch_date, revision

-- name: create_transfer
-- A new run.
INSERT INTO transfer (batch_date, revision, usage_day, state, step, requested_by, requested_at)
VALUES ($1, $2, $3, 'running', 'freeze-usage', $4, $5)

-- name: create_steps
-- Its steps, none taken yet.
INSERT INTO transfer_step (batch_date, revision, name, state) SELECT $1, $2, unnest($3::text[]), 'waiting'

-- name: resume_transfer
-- A failed run goes on from a step.
UPDATE transfer SET state = 'running', step = $3, reason = NULL WHERE batch_date = $1 AND revision = $2

-- name: reset_steps
-- The steps from which it goes on are waiting again.
UPDATE transfer_step SET state = 'waiting', rows = 0, started_at = NULL, finished_at = NULL
WHERE batch_date = $1 AND revision = $2 AND name = ANY ($3::text[])

-- name: start_step
-- A step begins.
UPDATE transfer_step SET state = 'running', rows = 0, started_at = $4, finished_at = NULL
WHERE batch_date = $1 AND revision = $2 AND name = $3

-- name: step_rows
-- How many rows the running step has handled.
UPDATE transfer_step SET rows = $4 WHERE batch_date = $1 AND revision = $2 AND name = $3

-- name: finish_step
-- A step is done.
UPDATE transfer_step SET state = 'done', rows = $4, finished_at = $5 WHERE batch_date = $1 AND revision = $2 AND name = $3

-- name: enter_step
-- The transfer is at this step now.
UPDATE transfer SET step = $3 WHERE batch_date = $1 AND revision = $2 AND state = 'running'

-- name: fail_transfer
-- Red, with the reason.
UPDATE transfer SET state = 'failed', reason = $3 WHERE batch_date = $1 AND revision = $2 AND state = 'running'

-- name: fail_steps
-- The step under way failed with it.
UPDATE transfer_step SET state = 'failed', finished_at = $3 WHERE batch_date = $1 AND revision = $2 AND state = 'running'

-- name: complete_transfer
-- Green: the warehouse has it whole.
UPDATE transfer SET state = 'done' WHERE batch_date = $1 AND revision = $2 AND state = 'running' AND step = 'await-warehouse'

-- name: previous_batch
-- The batch before this date, to which the new one is chained.
SELECT DISTINCT ON (batch_date) batch_date, revision, sha256 FROM transfer
WHERE batch_date < $1 AND state = 'done' ORDER BY batch_date DESC, revision DESC LIMIT 1

-- name: record_lines
-- What was computed; from here on the revision's lines are frozen.
UPDATE transfer SET frozen_at = $3, chunks = $4, lines = $5, sha256 = $6, previous_date = $7, previous_revision = $8,
                    previous_sha256 = $9, totals = $10, completeness = $11
WHERE batch_date = $1 AND revision = $2

-- name: ensure_batch_date
-- Make room for a date's chunks.
SELECT ensure_batch_date($1)

-- name: create_work_tables
-- The working set of one transfer; gone with the transaction.
CREATE TEMPORARY TABLE work_unit (
    unit_no int PRIMARY KEY, rank int NOT NULL, service text NOT NULL, kind text NOT NULL, counter_no smallint,
    aggregation text, price_name text NOT NULL, cost_name text NOT NULL, stock_name text NOT NULL,
    head_json text NOT NULL, unit_code_json text NOT NULL, quantity_source_json text
) ON COMMIT DROP;
CREATE TEMPORARY TABLE work_customer (
    customer_no int PRIMARY KEY, rank int NOT NULL, id text NOT NULL, id_json text NOT NULL, name_json text NOT NULL,
    currency text, location text
) ON COMMIT DROP;
CREATE TEMPORARY TABLE work_ancestor (
    customer_no int NOT NULL, level int NOT NULL, organisation text NOT NULL, currency text, location text,
    PRIMARY KEY (customer_no, level)
) ON COMMIT DROP;
CREATE TEMPORARY TABLE work_pair (
    unit_no int NOT NULL, customer_no int NOT NULL, plan text NOT NULL, price_name text NOT NULL, cost_name text NOT NULL,
    stock_name text NOT NULL, currency text, location text, plan_name text, plan_currency text
) ON COMMIT DROP;
CREATE TEMPORARY TABLE work_override (
    customer_no int NOT NULL, plan text NOT NULL, name text NOT NULL, value text NOT NULL, source text NOT NULL,
    PRIMARY KEY (customer_no, plan, name)
) ON COMMIT DROP;
CREATE TEMPORARY TABLE work_rate (
    unit_no int NOT NULL, customer_no int NOT NULL, plan text NOT NULL, sales numeric, digits int NOT NULL,
    currency text NOT NULL, no_price boolean NOT NULL, other_currency boolean NOT NULL,
    before_object text NOT NULL, before_description text NOT NULL, before_quantity text NOT NULL,
    before_total text NOT NULL, before_flags text NOT NULL, after_source text NOT NULL,
    PRIMARY KEY (unit_no, customer_no, plan)
) ON COMMIT DROP

-- name: fill_work_unit
-- The published units of every service, ranked as reports order them.
INSERT INTO work_unit
SELECT row_number() OVER w, row_number() OVER w, v.service, u ->> 'unit', c.counter_no, s.aggregation,
       u ->> 'price', u ->> 'cost', u ->> 'stock_code',
       concat_ws(',', to_json(v.service), to_json(u ->> 'plan_type'), to_json(u ->> 'id')),
       to_json(u ->> 'unit_code')::text,
       to_json('counter:' || (u -> 'quantity' ->> 'counter') || ':' || $1::date)::text
FROM (SELECT DISTINCT ON (service) service, units FROM schema_version ORDER BY service, version DESC) v
CROSS JOIN LATERAL jsonb_array_elements(v.units) u
LEFT JOIN service_counter s ON s.service = v.service AND s.name = u -> 'quantity' ->> 'counter'
LEFT JOIN counter c ON c.name = u -> 'quantity' ->> 'counter'
WINDOW w AS (ORDER BY v.service COLLATE "C", (u ->> 'id') COLLATE "C")

-- name: fill_work_customer
-- Everybody who has a billed service instance, in the order of reports. Currency and location come from above if need be.
INSERT INTO work_customer
SELECT o.organisation_no, row_number() OVER (ORDER BY o.id COLLATE "C"), o.id, to_json(o.id)::text, to_json(o.name)::text,
       o.currency, o.location
FROM organisation o
WHERE o.removed_at IS NULL AND EXISTS (
    SELECT FROM service_instance i
    WHERE i.customer_no = o.organisation_no AND i.removed_at IS NULL AND i.is_billed AND NOT i.reseller_service
)

-- name: fill_work_ancestor
-- Each customer's way up the tree, itself first, with the nearest currency and location that were named so far.
WITH RECURSIVE up (customer_no, level, id, parent, currency, location) AS (
    SELECT c.customer_no, 0, o.id, o.parent, o.currency, o.location
    FROM work_customer c JOIN organisation o ON o.organisation_no = c.customer_no
    UNION ALL
    SELECT up.customer_no, up.level + 1, o.id, o.parent, coalesce(up.currency, o.currency), coalesce(up.location, o.location)
    FROM up JOIN organisation o ON o.id = up.parent WHERE up.level < 100
)
INSERT INTO work_ancestor SELECT customer_no, level, id, currency, location FROM up

-- name: inherit_currency_and_location
-- What the nearest organisation says that names one; at the top of its way a customer has heard all of them.
UPDATE work_customer w SET currency = top.currency, location = top.location
FROM (
    SELECT DISTINCT ON (customer_no) customer_no, currency, location FROM work_ancestor ORDER BY customer_no, level DESC
) top
WHERE top.customer_no = w.customer_no

-- name: analyse_customers
-- The planner has to know how large the tables are, or it joins row by row.
ANALYZE work_unit, work_customer, work_ancestor

-- name: fill_work_pair
-- Every (unit, customer, plan) in use. Tables between the steps, because of a chain of subqueries the planner guesses one
-- row where there are a hundred thousand, and then joins row by row.
WITH subject AS (
    SELECT DISTINCT i.customer_no, i.service, 'instance' AS kind, coalesce(i.plan, '') AS plan
    FROM service_instance i WHERE i.removed_at IS NULL AND i.is_billed AND NOT i.reseller_service
    UNION
    SELECT s.customer_no, i.service, 'user', coalesce(s.plan, '')
    FROM subscription s JOIN service_instance i ON (i.customer_no, i.object_no) = (s.customer_no, s.instance_no)
    WHERE s.removed_at IS NULL AND i.removed_at IS NULL AND i.is_billed AND NOT i.reseller_service
    GROUP BY 1, 2, 4
)
INSERT INTO work_pair
SELECT u.unit_no, c.customer_no, j.plan, u.price_name, u.cost_name, u.stock_name, c.currency, c.location, p.name, p.currency
FROM subject j
JOIN work_customer c USING (customer_no)
JOIN work_unit u ON u.service = j.service AND (u.kind = j.kind OR (u.kind = 'application' AND j.kind = 'user'))
LEFT JOIN plan p ON p.id = j.plan AND p.service = j.service

-- name: fill_work_override
-- The nearest override of each property: organisations from the customer upwards, then the location.
WITH said AS (
    SELECT o.plan, o.name, o.value, a.customer_no, a.level AS rank, 'organisation:' || o.level_id AS source
    FROM plan_override o JOIN work_ancestor a ON a.organisation = o.level_id WHERE o.level = 'organisation'
    UNION ALL
    SELECT o.plan, o.name, o.value, c.customer_no, 1000, 'location:' || o.level_id
    FROM plan_override o JOIN work_customer c ON c.location = o.level_id WHERE o.level = 'location'
)
INSERT INTO work_override
SELECT DISTINCT ON (customer_no, plan, name) customer_no, plan, name, value, source
FROM said ORDER BY customer_no, plan, name, rank

-- name: fill_work_rate
-- The prices of each pair: the nearest override, or else the plan's own value; and, ready to be put between what differs
-- from line to line, the JSON that all lines of the pair share. $1 and $2: currencies whose minor unit has
-- not two digits, and how many it has.
WITH priced AS (
    SELECT r.unit_no, r.customer_no, r.plan, r.plan_name, r.plan_currency, coalesce(r.currency, r.plan_currency, 'XXX') AS currency,
           coalesce(so.value, sp.value) AS sales_text,
           CASE WHEN so.value IS NOT NULL THEN so.source WHEN sp.value IS NOT NULL THEN 'plan' END AS source,
           coalesce(co.value, cp.value) AS cost_text, coalesce(ko.value, kp.value) AS stock
    FROM work_pair r
    LEFT JOIN work_override so ON (so.customer_no, so.plan, so.name) = (r.customer_no, r.plan, r.price_name)
    LEFT JOIN work_override co ON (co.customer_no, co.plan, co.name) = (r.customer_no, r.plan, r.cost_name)
    LEFT JOIN work_override ko ON (ko.customer_no, ko.plan, ko.name) = (r.customer_no, r.plan, r.stock_name)
    LEFT JOIN plan_property sp ON (sp.plan, sp.name) = (r.plan, r.price_name)
    LEFT JOIN plan_property cp ON (cp.plan, cp.name) = (r.plan, r.cost_name)
    LEFT JOIN plan_property kp ON (kp.plan, kp.name) = (r.plan, r.stock_name)
), numbered AS (
    SELECT *, plan_currency IS NOT NULL AND plan_currency <> currency AS other_currency,
           CASE WHEN sales_text ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$' AND length(sales_text) <= 40
                THEN sales_text::numeric END AS sales_number,
           CASE WHEN cost_text ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$' AND length(cost_text) <= 40
                THEN cost_text::numeric END AS cost_number
    FROM priced
), final AS (
    SELECT *, CASE WHEN NOT other_currency THEN sales_number END AS sales,
           CASE WHEN NOT other_currency THEN cost_number END AS cost
    FROM numbered
)
INSERT INTO work_rate
SELECT unit_no, customer_no, plan, sales, coalesce(m.digits, 2), final.currency, sales IS NULL, other_currency,
       concat('[', c.id_json, ',', u.head_json, ','),
       concat(',', coalesce(to_json(nullif(plan, ''))::text, 'null'), ',"line",null,'),
       concat(',', to_json(coalesce(plan_name, plan)), ',', to_json(coalesce(stock, '')), ',', u.unit_code_json, ',"'),
       concat('",', coalesce('"' || sales || '"', 'null'), ',', coalesce('"' || cost || '"', 'null'), ',"'),
       concat('","', final.currency, '","'),
       concat(',', coalesce(to_json(source)::text, 'null'), ']')
FROM final
JOIN work_customer c USING (customer_no)
JOIN work_unit u USING (unit_no)
LEFT JOIN unnest($1::text[], $2::int[]) AS m (code, digits) ON m.code = final.currency

-- name: analyse_prices
-- The same for what the prices are made of.
ANALYZE work_pair, work_override

-- name: analyse_rates
-- The same for the prices.
ANALYZE work_rate

-- name: customers_in_order
-- The customers, as reports order them.
SELECT customer_no FROM work_customer ORDER BY rank

-- name: compute_lines
-- The lines of the customers $1 as JSON, in parts of $2 lines, with what they sum up to. $3 is the usage day.
WITH usage AS (
    SELECT DISTINCT ON (customer_no, object_no, counter_no) customer_no, object_no, counter_no, 'last' AS aggregation, value
    FROM usage_sample
    WHERE day = $3 AND customer_no = ANY ($1::int[])
      AND counter_no IN (SELECT counter_no FROM work_unit WHERE aggregation = 'last')
    ORDER BY customer_no, object_no, counter_no, measured_at DESC
), usage_all AS (
    SELECT * FROM usage
    UNION ALL
    SELECT customer_no, object_no, counter_no, 'max', max(value) FROM usage_sample
    WHERE day = $3 AND customer_no = ANY ($1::int[])
      AND counter_no IN (SELECT counter_no FROM work_unit WHERE aggregation = 'max')
    GROUP BY customer_no, object_no, counter_no
    UNION ALL
    SELECT customer_no, object_no, counter_no, 'sum', sum(value) FROM usage_sample
    WHERE day = $3 AND customer_no = ANY ($1::int[])
      AND counter_no IN (SELECT counter_no FROM work_unit WHERE aggregation = 'sum')
    GROUP BY customer_no, object_no, counter_no
), subject AS (
    SELECT i.customer_no, i.object_no, i.id, i.service, 'instance'::text AS kind, i.plan, i.status, NULL::text AS user_name
    FROM service_instance i
    WHERE i.customer_no = ANY ($1::int[]) AND i.removed_at IS NULL AND i.is_billed AND NOT i.reseller_service
    UNION ALL
    SELECT s.customer_no, s.object_no, s.id, i.service, 'user'::text, s.plan, s.status, s.user_name
    FROM subscription s JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE s.customer_no = ANY ($1::int[]) AND i.customer_no = ANY ($1::int[])
      AND s.removed_at IS NULL AND i.removed_at IS NULL AND i.is_billed AND NOT i.reseller_service
    UNION ALL
    SELECT a.customer_no, a.object_no, a.id, i.service, 'application'::text, s.plan, a.status, s.user_name
    FROM application a
    JOIN subscription s ON s.customer_no = a.customer_no AND s.object_no = a.subscription_no
    JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE a.customer_no = ANY ($1::int[]) AND s.customer_no = ANY ($1::int[]) AND i.customer_no = ANY ($1::int[])
      AND a.removed_at IS NULL AND s.removed_at IS NULL AND i.removed_at IS NULL AND i.is_billed AND NOT i.reseller_service
), measured AS (
    SELECT c.rank AS customer_rank, c.id AS customer_id, u.rank AS unit_rank, j.id, j.status,
           CASE WHEN j.kind = 'instance' THEN c.name_json ELSE to_json(j.user_name)::text END AS description_json, r.*,
           u.quantity_source_json,
           CASE WHEN u.quantity_source_json IS NOT NULL THEN coalesce(q.value, 0)
                WHEN j.status = 'NotProvisioned' THEN 0 ELSE 1 END AS quantity,
           u.quantity_source_json IS NOT NULL AND q.value IS NULL AS no_data
    FROM subject j
    JOIN work_customer c ON c.customer_no = j.customer_no
    JOIN work_unit u ON u.service = j.service AND u.kind = j.kind
    JOIN work_rate r ON r.unit_no = u.unit_no AND r.customer_no = j.customer_no AND r.plan = coalesce(j.plan, '')
    LEFT JOIN usage_all q ON q.customer_no = j.customer_no AND q.object_no = j.object_no AND q.counter_no = u.counter_no
                         AND q.aggregation = u.aggregation
), totalled AS (
    SELECT *, row_number() OVER (ORDER BY customer_rank, unit_rank, id COLLATE "C") AS n,
           round(CASE WHEN no_price THEN 0 ELSE quantity * sales END, digits) AS total
    FROM measured
), line AS MATERIALIZED (
    SELECT n, (n - 1) / $2::int AS part, customer_id, currency, total, no_data, no_price,
           concat(before_object, to_json(id), before_description, description_json, before_quantity, quantity, before_total,
                  total, before_flags,
                  CASE WHEN no_data THEN CASE WHEN no_price THEN 'no_data no_price' ELSE 'no_data' END
                       WHEN no_price THEN 'no_price' END,
                  CASE WHEN other_currency THEN ' other_currency' END,
                  '",', coalesce(quantity_source_json, '"status:' || status || '"'), after_source) AS json
    FROM totalled
), part AS (
    SELECT part, min(customer_id COLLATE "C") AS first_key, count(*) AS row_count, string_agg(json, ',' ORDER BY n) AS rows
    FROM line GROUP BY part
), sums AS (
    SELECT currency, sum(total)::text AS total, count(*) FILTER (WHERE no_data) AS no_data,
           count(*) FILTER (WHERE no_price) AS no_price
    FROM line GROUP BY currency
)
SELECT part::int, first_key, row_count::int, rows, NULL AS currency, NULL AS total, 0::bigint AS no_data, 0::bigint AS no_price
FROM part
UNION ALL
SELECT NULL, NULL, 0, NULL, currency, total, no_data, no_price FROM sums
ORDER BY part

-- name: put_chunk
-- Freeze a chunk.
INSERT INTO batch_chunk (batch_date, revision, sequence, kind, first_key, row_count, sha256, rows)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: compute_organisations
-- The tree as it is now, as JSON in parts of $1 rows.
WITH row AS (
    SELECT row_number() OVER (ORDER BY id COLLATE "C") AS n, id,
           '[' || concat_ws(',', to_json(id)::text, coalesce(to_json(parent)::text, 'null'), to_json(type)::text, to_json(name)::text,
               coalesce(to_json(billing_id)::text, 'null'), coalesce(to_json(location)::text, 'null'),
               coalesce(to_json(language)::text, 'null'), coalesce(to_json(currency)::text, 'null')) || ']' AS json
    FROM organisation WHERE removed_at IS NULL
), part AS (
    SELECT (n - 1) / $1::int AS part, min(id COLLATE "C") AS first_key, count(*) AS row_count,
           string_agg(json, ',' ORDER BY n) AS rows
    FROM row GROUP BY 1
)
SELECT part::int, first_key, row_count::int, rows FROM part ORDER BY part

-- name: compute_allocations
-- How many of each plan every customer was given and how many its users have, as JSON in parts of $1 rows.
WITH given AS (
    SELECT i.customer_no, i.service, a.key AS plan, sum(a.value::bigint) AS allocated, 0::bigint AS used
    FROM service_instance i CROSS JOIN LATERAL jsonb_each_text(i.allocations) a
    WHERE i.removed_at IS NULL GROUP BY 1, 2, 3
    UNION ALL
    SELECT s.customer_no, i.service, s.plan, 0, count(*)
    FROM subscription s JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE s.removed_at IS NULL AND i.removed_at IS NULL AND s.plan IS NOT NULL AND s.status <> 'NotProvisioned'
    GROUP BY 1, 2, 3
), row AS (
    SELECT row_number() OVER (ORDER BY o.id COLLATE "C", g.service COLLATE "C", g.plan COLLATE "C") AS n, o.id,
           '[' || concat_ws(',', to_json(o.id)::text, to_json(g.service)::text, to_json(g.plan)::text,
               to_json(coalesce(p.name, g.plan))::text, '"' || sum(g.allocated) || '"', '"' || sum(g.used) || '"') || ']' AS json
    FROM given g JOIN organisation o ON o.organisation_no = g.customer_no AND o.removed_at IS NULL
    LEFT JOIN plan p ON p.id = g.plan
    GROUP BY o.id, g.service, g.plan, p.name
), part AS (
    SELECT (n - 1) / $1::int AS part, min(id COLLATE "C") AS first_key, count(*) AS row_count,
           string_agg(json, ',' ORDER BY n) AS rows
    FROM row GROUP BY 1
)
SELECT part::int, first_key, row_count::int, rows FROM part ORDER BY part

-- name: chunks_to_publish
-- The frozen bytes, in order.
SELECT sequence, kind, first_key, row_count, encode(sha256, 'hex') AS sha256, rows FROM batch_chunk
WHERE batch_date = $1 AND revision = $2 AND sequence > $3 ORDER BY sequence LIMIT $4

-- name: recompute_chunk_hashes
-- Hash the frozen bytes anew, beside what was noted when they were frozen.
SELECT sequence, kind, first_key, row_count, encode(sha256, 'hex') AS noted, encode(sha256(rows), 'hex') AS sha256
FROM batch_chunk WHERE batch_date = $1 AND revision = $2 ORDER BY sequence

-- name: batches
-- The finished batches of a period, newest revision of each date, for the chain.
SELECT batch_date, revision, lines, chunks, sha256, previous_date, previous_revision, previous_sha256, totals
FROM transfer WHERE state = 'done' AND batch_date BETWEEN $1 AND $2 ORDER BY batch_date, revision

-- name: batch
-- One finished revision.
SELECT batch_date, revision, chunks, sha256, previous_sha256 FROM transfer WHERE batch_date = $1 AND revision = $2

-- name: lateness
-- For the completeness statement: dead letters and conflicts among usage since a moment.
SELECT count(*) FILTER (WHERE reason NOT LIKE 'conflict:%') AS dead, count(*) FILTER (WHERE reason LIKE 'conflict:%') AS conflicts
FROM dead_letter WHERE topic = 'usage.samples' AND set_aside_at >= $1
