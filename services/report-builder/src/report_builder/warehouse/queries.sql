-- name: ensure_batches
-- Know of these batches; those known already stay as they are.
INSERT INTO batch (batch_date, revision)
SELECT * FROM unnest($1::date[], $2::integer[]) AS incoming (batch_date, revision)
ORDER BY batch_date, revision
ON CONFLICT DO NOTHING

-- name: open_batches
-- Where the lines of each of these batches go; nowhere if it is loaded, or is passed over: reports are made from a later
-- revision, and it failed or was never announced, which it would have been before the later one.
SELECT batch_date, revision, passed_over,
    CASE WHEN NOT loaded AND NOT passed_over THEN open_line_table(batch_date, revision) END AS line_table
FROM (
    SELECT b.batch_date, b.revision, b.state = 'loaded' AS loaded,
        coalesce(c.revision > b.revision, false)
            AND (b.state = 'failed' OR (b.state = 'loading' AND b.expected_sha256 IS NULL)) AS passed_over
    FROM unnest($1::date[], $2::integer[]) AS wanted (batch_date, revision)
    JOIN batch b USING (batch_date, revision)
    LEFT JOIN batch_current c ON c.batch_date = b.batch_date
    ORDER BY 1, 2
) known

-- name: enter_chunks
-- Enter chunks never seen; the answer holds only what is new. Two consumers with the same chunk take turns here.
INSERT INTO batch_chunk (batch_date, revision, sequence, kind, row_count, sha256)
SELECT *
FROM unnest($1::date[], $2::integer[], $3::integer[], $4::text[], $5::integer[], $6::text[])
    AS incoming (batch_date, revision, sequence, kind, row_count, sha256)
ORDER BY batch_date, revision, sequence
ON CONFLICT DO NOTHING
RETURNING batch_date, revision, sequence

-- name: known_chunks
-- What is held of these chunks, to tell a duplicate from a conflict.
SELECT c.batch_date, c.revision, c.sequence, c.kind, c.sha256
FROM unnest($1::date[], $2::integer[], $3::integer[]) AS wanted (batch_date, revision, sequence)
JOIN batch_chunk c USING (batch_date, revision, sequence)

-- name: lock_batch
-- Hold a batch until the end of the transaction: completing it is one writer's work.
SELECT
    batch_date, revision, state, expected_chunks, expected_lines, expected_sha256, expected_totals,
    previous_date, previous_revision, previous_sha256
FROM batch
WHERE batch_date = $1 AND revision = $2
FOR NO KEY UPDATE

-- name: wait_for_loaders
-- Hold a batch when nobody is adding to it: whoever enters a chunk keeps its batch from being locked so, until it is done.
SELECT FROM batch WHERE batch_date = $1 AND revision = $2 FOR UPDATE

-- name: attach_line_table
-- A batch's lines become part of what is read.
SELECT attach_line_table($1, $2)

-- name: drop_failed_batch
-- All rows of a batch that failed.
SELECT drop_failed_batch($1, $2)

-- name: passed_over_batches
-- The earlier revisions of a date that failed, or were not announced before $2 was, so that they never will be, and of which
-- there is something left.
SELECT b.revision
FROM batch b
WHERE b.batch_date = $1 AND b.revision < $2
    AND (b.state = 'failed' OR (b.state = 'loading' AND b.expected_sha256 IS NULL))
    AND EXISTS (SELECT FROM batch_chunk c WHERE c.batch_date = b.batch_date AND c.revision = b.revision)
ORDER BY b.revision

-- name: loaded_batch
-- What was published and found of a loaded batch.
SELECT
    expected_chunks, expected_lines, expected_sha256, expected_totals,
    previous_date, previous_revision, previous_sha256
FROM batch
WHERE batch_date = $1 AND revision = $2 AND state = 'loaded'

-- name: expect
-- Note what the engine published; a failed batch gets another chance.
UPDATE batch
SET state = 'loading', reason = NULL, closed_at = NULL,
    expected_chunks = $3, expected_lines = $4, expected_sha256 = $5, expected_totals = $6,
    previous_date = $7, previous_revision = $8, previous_sha256 = $9, completeness = $10
WHERE batch_date = $1 AND revision = $2 AND state <> 'loaded'

-- name: count_chunks
-- How many chunks of a batch are here.
SELECT count(*) FROM batch_chunk WHERE batch_date = $1 AND revision = $2

-- name: chunk_facts
-- What the batch hash is made of, in sequence order.
SELECT sequence, kind, row_count, sha256 FROM batch_chunk WHERE batch_date = $1 AND revision = $2 ORDER BY sequence

-- name: line_totals
-- Lines and sum of totals per currency, from the lines themselves.
SELECT currency, count(*) AS lines, sum(total) AS total
FROM batch_line
WHERE batch_date = $1 AND revision = $2
GROUP BY currency
ORDER BY currency

-- name: loaded_sha256
-- The hash of a batch that is loaded here.
SELECT expected_sha256 FROM batch WHERE batch_date = $1 AND revision = $2 AND state = 'loaded'

-- name: close_batch
-- A batch is whole and verified, or cannot be accepted.
UPDATE batch
SET state = $3, reason = $4, totals = $5, currency_lines = $6, closed_at = $7
WHERE batch_date = $1 AND revision = $2

-- name: make_current
-- From now on reports of this date are made from this revision; never goes back to an earlier one.
INSERT INTO batch_current (batch_date, revision) VALUES ($1, $2)
ON CONFLICT (batch_date) DO UPDATE SET revision = excluded.revision WHERE batch_current.revision < excluded.revision

-- name: batches
-- Every revision of the dates, inclusive, with what is here of it.
SELECT
    b.batch_date, b.revision, b.state, c.revision IS NOT NULL AS current,
    coalesce(b.expected_chunks, 0) AS chunks, coalesce(b.expected_lines, 0) AS lines, b.expected_sha256 AS sha256,
    b.previous_date, b.previous_revision, b.previous_sha256, b.totals, b.completeness, b.reason
FROM batch b
LEFT JOIN batch_current c USING (batch_date, revision)
WHERE b.batch_date BETWEEN $1 AND $2
ORDER BY b.batch_date, b.revision
LIMIT 10000

-- name: organisation_chunks_again
-- The facts of the chunks of organisations, made again from the columns.
SELECT sequence, 'organisations' AS kind, count(*)::integer AS row_count, encode(sha256(convert_to(string_agg(
    '[' || concat_ws(
        ',',
        coalesce(to_json(id)::text, 'null'), coalesce(to_json(parent)::text, 'null'),
        coalesce(to_json(type)::text, 'null'), coalesce(to_json(name)::text, 'null'),
        coalesce(to_json(billing_id)::text, 'null'), coalesce(to_json(location)::text, 'null'),
        coalesce(to_json(language)::text, 'null'), coalesce(to_json(currency)::text, 'null')
    ) || ']', ',' ORDER BY position
), 'UTF8')), 'hex') AS sha256
FROM batch_organisation
WHERE batch_date = $1 AND revision = $2
GROUP BY sequence
ORDER BY sequence

-- name: allocation_chunks_again
-- The facts of the chunks of allocations, made again from the columns.
SELECT sequence, 'allocations' AS kind, count(*)::integer AS row_count, encode(sha256(convert_to(string_agg(
    '[' || concat_ws(
        ',',
        coalesce(to_json(customer_id)::text, 'null'), coalesce(to_json(service)::text, 'null'),
        coalesce(to_json(plan)::text, 'null'), coalesce(to_json(plan_name)::text, 'null'),
        coalesce(to_json(allocated::text)::text, 'null'), coalesce(to_json(used::text)::text, 'null')
    ) || ']', ',' ORDER BY position
), 'UTF8')), 'hex') AS sha256
FROM batch_allocation
WHERE batch_date = $1 AND revision = $2
GROUP BY sequence
ORDER BY sequence

-- name: line_chunks_again
-- The facts of the chunks of lines, made again from the columns.
SELECT sequence, 'lines' AS kind, count(*)::integer AS row_count, encode(sha256(convert_to(string_agg(
    '[' || concat_ws(
        ',',
        coalesce(to_json(customer_id)::text, 'null'), coalesce(to_json(service)::text, 'null'),
        coalesce(to_json(plan_type)::text, 'null'), coalesce(to_json(unit)::text, 'null'),
        coalesce(to_json(object_id)::text, 'null'), coalesce(to_json(plan)::text, 'null'),
        coalesce(to_json(kind)::text, 'null'), coalesce(to_json(corrects::text)::text, 'null'),
        coalesce(to_json(description)::text, 'null'), coalesce(to_json(name)::text, 'null'),
        coalesce(to_json(stock_code)::text, 'null'), coalesce(to_json(unit_code)::text, 'null'),
        coalesce(to_json(quantity::text)::text, 'null'), coalesce(to_json(sales_price::text)::text, 'null'),
        coalesce(to_json(cost_price::text)::text, 'null'), coalesce(to_json(total::text)::text, 'null'),
        coalesce(to_json(currency)::text, 'null'), coalesce(to_json(flags)::text, 'null'),
        coalesce(to_json(quantity_source)::text, 'null'), coalesce(to_json(price_source)::text, 'null'),
        -- A line from before there were levels came without these columns.
        CASE WHEN level_totals IS NOT NULL THEN concat_ws(
            ',',
            coalesce(to_json(level_prices)::text, 'null'), coalesce(to_json(level_totals)::text, 'null'),
            coalesce(to_json(cost_total::text)::text, 'null')
        ) END
    ) || ']', ',' ORDER BY position
), 'UTF8')), 'hex') AS sha256
FROM batch_line
WHERE batch_date = $1 AND revision = $2
GROUP BY sequence
ORDER BY sequence

-- name: loading_batches
-- Batches that are not whole yet, with how many chunks are here; for the status page.
SELECT b.batch_date, b.revision, b.expected_chunks,
    (SELECT count(*) FROM batch_chunk c WHERE c.batch_date = b.batch_date AND c.revision = b.revision) AS chunks
FROM batch b
WHERE b.state = 'loading'
ORDER BY b.batch_date DESC, b.revision DESC
LIMIT 100

-- name: current_batches
-- The revisions reports of these dates, inclusive, are made from.
SELECT
    b.batch_date, b.revision, b.state, true AS current, b.expected_chunks AS chunks, b.expected_lines AS lines,
    b.expected_sha256 AS sha256, b.previous_date, b.previous_revision, b.previous_sha256, b.totals, b.completeness,
    b.reason
FROM batch_current
JOIN batch b USING (batch_date, revision)
WHERE b.batch_date BETWEEN $1 AND $2
ORDER BY b.batch_date

-- name: organisations_below
-- An organisation and all below it, in the tree as the batch froze it.
WITH RECURSIVE below (id) AS (
    SELECT id FROM batch_organisation WHERE batch_date = $1 AND revision = $2 AND id = $3
    UNION
    SELECT o.id
    FROM below
    JOIN batch_organisation o ON o.batch_date = $1 AND o.revision = $2 AND o.parent = below.id
)
SELECT id FROM below

-- name: organisation_name
-- What an organisation was called when the batch was frozen.
SELECT coalesce(name, id) FROM batch_organisation WHERE batch_date = $1 AND revision = $2 AND id = $3

-- name: known_sums
-- What was counted and summed when the batch was verified.
SELECT totals, currency_lines FROM batch WHERE batch_date = $1 AND revision = $2 AND state = 'loaded'

-- name: sums_by_currency
-- Lines and sum of totals per currency, of some customers or of all.
SELECT currency, count(*) AS lines, sum(total) AS total
FROM batch_line
WHERE batch_date = $1 AND revision = $2 AND ($3::text[] IS NULL OR customer_id = ANY ($3::text[]))
GROUP BY currency

-- name: report_rows
-- A batch's lines as the customer detail has them, of some customers or of all; place last, so that the order is total.
SELECT
    l.customer_id, o.name AS customer_name, l.service, l.plan_type, l.unit, l.object_id, l.description, l.name,
    nullif(l.stock_code, '') AS stock_code, nullif(l.unit_code, '') AS unit_code, l.quantity, l.sales_price, l.total,
    l.currency, l.kind, nullif(l.flags, '') AS flags
FROM batch_line l
LEFT JOIN batch_organisation o ON o.batch_date = $1 AND o.revision = $2 AND o.id = l.customer_id
WHERE l.batch_date = $1 AND l.revision = $2 AND ($3::text[] IS NULL OR l.customer_id = ANY ($3::text[]))
ORDER BY l.customer_id, l.service, l.unit, l.object_id, l.sequence, l.position

-- name: detail_rows
-- The same with the date a correction corrects, for readers other than scripts.
SELECT
    l.customer_id, o.name AS customer_name, l.service, l.plan_type, l.unit, l.object_id, l.description, l.name,
    nullif(l.stock_code, '') AS stock_code, nullif(l.unit_code, '') AS unit_code, l.quantity, l.sales_price, l.total,
    l.currency, l.kind, nullif(l.flags, '') AS flags, l.corrects
FROM batch_line l
LEFT JOIN batch_organisation o ON o.batch_date = $1 AND o.revision = $2 AND o.id = l.customer_id
WHERE l.batch_date = $1 AND l.revision = $2 AND ($3::text[] IS NULL OR l.customer_id = ANY ($3::text[]))
ORDER BY l.customer_id, l.service, l.unit, l.object_id, l.sequence, l.position

-- name: detail_totals
-- Lines and sum of totals of some batches, of an organisation and all below it or of all: per customer and currency, then
-- per service, then per unit. What is nobody's service, an adjustment, is "-": nothing is what totals have there.
WITH RECURSIVE below (batch_date, revision, id) AS (
    SELECT o.batch_date, o.revision, o.id
    FROM unnest($1::date[], $2::integer[]) AS w (batch_date, revision)
    JOIN batch_organisation o USING (batch_date, revision)
    WHERE o.id = $3::text
    UNION
    SELECT o.batch_date, o.revision, o.id
    FROM below b
    JOIN batch_organisation o ON o.batch_date = b.batch_date AND o.revision = b.revision AND o.parent = b.id
), units AS (
    SELECT l.customer_id, l.currency, coalesce(nullif(l.service, ''), '-') AS service,
        coalesce(nullif(l.unit, ''), '-') AS unit, count(*) AS lines, sum(l.total) AS total
    FROM batch_line l
    WHERE l.batch_date = ANY ($1::date[]) AND l.revision = ANY ($2::integer[])
        AND (l.batch_date, l.revision) IN (SELECT * FROM unnest($1::date[], $2::integer[]))
        AND ($3::text IS NULL OR (l.batch_date, l.revision, l.customer_id) IN (SELECT batch_date, revision, id FROM below))
    GROUP BY 1, 2, 3, 4
)
SELECT t.customer_id, n.name AS customer_name, t.service, t.unit, t.currency, t.lines, t.total
FROM (
    SELECT customer_id, currency, service, unit, sum(lines) AS lines, sum(total) AS total
    FROM units
    GROUP BY customer_id, currency, ROLLUP (service, unit)
) t
LEFT JOIN (
    SELECT DISTINCT ON (o.id) o.id, o.name
    FROM unnest($1::date[], $2::integer[]) AS w (batch_date, revision)
    JOIN batch_organisation o USING (batch_date, revision)
    ORDER BY o.id, o.batch_date DESC
) n ON n.id = t.customer_id
ORDER BY t.customer_id, t.currency, t.service NULLS FIRST, t.unit NULLS FIRST

-- name: organisation_type
-- What kind of node an organisation was when the batch was frozen; null when the batch does not know it.
SELECT type FROM batch_organisation WHERE batch_date = $1 AND revision = $2 AND id = $3

-- name: levels_below
-- The organisation $3 and all below it: how far below, through whom it sells to them, and whether it is the root.
WITH RECURSIVE below (id, name, height, sold_to, is_root) AS (
    SELECT id, name, 0, NULL::text COLLATE "C", parent IS NULL
    FROM batch_organisation WHERE batch_date = $1 AND revision = $2 AND id = $3
    UNION ALL
    SELECT o.id, o.name, below.height + 1, coalesce(below.sold_to, o.id), below.is_root
    FROM below
    JOIN batch_organisation o ON o.batch_date = $1 AND o.revision = $2 AND o.parent = below.id
)
SELECT id, name, height, sold_to, is_root FROM below

-- name: reseller_rows
-- A batch's lines of the organisations that levels_below found, with what the first of them takes and pays for each: the
-- rules are those of level_sums. The organisations come as arrays, because parallel workers can read those, but not a tree
-- that is being walked. The flag of a missing price at some level is not passed on, because the level may be above; whether
-- this level's own two figures are known is said instead. OFFSET keeps the two from being computed wherever they are used.
SELECT
    m.customer_id, m.customer_name, m.sold_to, m.service, m.plan_type, m.unit, m.object_id, m.description, m.name,
    nullif(m.stock_code, '') AS stock_code, nullif(m.unit_code, '') AS unit_code, m.quantity, m.total, m.sales, m.cost,
    m.sales - m.cost AS margin, m.currency, m.kind,
    CASE
        WHEN m.sales IS NULL OR m.cost IS NULL OR m.flags LIKE '%no_level_price%' THEN nullif(concat_ws(
            ' ', nullif(array_to_string(array_remove(string_to_array(m.flags, ' '), 'no_level_price'), ' '), ''),
            CASE WHEN m.sales IS NULL THEN 'unknown_sales' END, CASE WHEN m.cost IS NULL THEN 'unknown_cost' END
        ), '')
        ELSE nullif(m.flags, '')
    END AS flags,
    m.corrects
FROM (
    SELECT l.*, below.name AS customer_name, below.sold_to,
        CASE WHEN below.height = 0 THEN 0
            ELSE line_paid(l.level_totals, l.total, l.flags, below.height - 1) END AS sales,
        CASE WHEN below.is_root THEN l.cost_total
            ELSE line_paid(l.level_totals, l.total, l.flags, below.height) END AS cost
    FROM unnest($3::text[], $4::text[], $5::integer[], $6::text[], $7::boolean[])
        AS below (id, name, height, sold_to, is_root)
    JOIN batch_line l ON l.batch_date = $1 AND l.revision = $2 AND l.customer_id = below.id
    OFFSET 0
) m
ORDER BY m.customer_id, m.service, m.unit, m.object_id, m.sequence, m.position

-- name: reseller_totals
-- The same of some batches, added up: per organisation directly below and currency, then per customer, then per service.
-- What the organisation uses itself stands under its own id.
WITH RECURSIVE below (batch_date, revision, id, height, sold_to, is_root) AS (
    SELECT o.batch_date, o.revision, o.id, 0, NULL::text COLLATE "C", o.parent IS NULL
    FROM unnest($1::date[], $2::integer[]) AS w (batch_date, revision)
    JOIN batch_organisation o USING (batch_date, revision)
    WHERE o.id = $3::text
    UNION ALL
    SELECT o.batch_date, o.revision, o.id, b.height + 1, coalesce(b.sold_to, o.id), b.is_root
    FROM below b
    JOIN batch_organisation o ON o.batch_date = b.batch_date AND o.revision = b.revision AND o.parent = b.id
), services AS (
    SELECT m.sold_to, m.currency, m.customer_id, m.service, count(*) AS lines, coalesce(sum(m.sales), 0) AS sales,
        coalesce(sum(m.cost), 0) AS cost, count(*) FILTER (WHERE m.sales IS NULL OR m.cost IS NULL) AS unknown
    FROM (
        SELECT coalesce(b.sold_to, b.id) AS sold_to, l.currency, l.customer_id,
            coalesce(nullif(l.service, ''), '-') AS service,
            CASE WHEN b.height = 0 THEN 0 ELSE line_paid(l.level_totals, l.total, l.flags, b.height - 1) END AS sales,
            CASE WHEN b.is_root THEN l.cost_total ELSE line_paid(l.level_totals, l.total, l.flags, b.height) END AS cost
        FROM below b
        JOIN batch_line l ON l.batch_date = b.batch_date AND l.revision = b.revision AND l.customer_id = b.id
        WHERE l.batch_date = ANY ($1::date[]) AND l.revision = ANY ($2::integer[])
        OFFSET 0
    ) m
    GROUP BY m.sold_to, m.currency, m.customer_id, m.service
)
SELECT t.sold_to, t.customer_id, n.name AS customer_name, t.service, t.currency, t.lines, t.sales, t.cost,
    CASE WHEN t.unknown = 0 THEN t.sales - t.cost END AS margin, nullif(t.unknown, 0) AS unknown
FROM (
    SELECT sold_to, currency, customer_id, service, sum(lines) AS lines, sum(sales) AS sales, sum(cost) AS cost,
        sum(unknown) AS unknown
    FROM services
    GROUP BY sold_to, currency, ROLLUP (customer_id, service)
) t
LEFT JOIN (
    SELECT DISTINCT ON (o.id) o.id, o.name FROM below b JOIN batch_organisation o USING (batch_date, revision, id)
    ORDER BY o.id, o.batch_date DESC
) n ON n.id = coalesce(t.customer_id, t.sold_to)
ORDER BY t.sold_to, t.currency, t.customer_id NULLS FIRST, t.service NULLS FIRST

-- name: summary_rows
-- What each customer's stock codes came to in the batches from $4 on, and in those before. $5: the period before is whole,
-- without which nothing is said of it; $6: this one is, without which the two are not compared.
WITH RECURSIVE below (batch_date, revision, id) AS (
    SELECT o.batch_date, o.revision, o.id
    FROM unnest($1::date[], $2::integer[]) AS w (batch_date, revision)
    JOIN batch_organisation o USING (batch_date, revision)
    WHERE o.id = $3::text
    UNION
    SELECT o.batch_date, o.revision, o.id
    FROM below b
    JOIN batch_organisation o ON o.batch_date = b.batch_date AND o.revision = b.revision AND o.parent = b.id
), sums AS (
    SELECT l.customer_id, coalesce(l.stock_code, '') AS stock_code, l.currency,
        coalesce(sum(l.total) FILTER (WHERE l.batch_date >= $4::date), 0) AS this_period,
        coalesce(sum(l.total) FILTER (WHERE l.batch_date < $4::date), 0) AS last_period,
        count(*) FILTER (WHERE l.batch_date >= $4::date) AS records,
        count(*) FILTER (WHERE l.batch_date < $4::date) AS last_records,
        bool_or(l.batch_date >= $4::date AND line_paid(NULL, l.total, l.flags, 0) IS NULL) AS unpriced
    FROM batch_line l
    WHERE l.batch_date = ANY ($1::date[]) AND l.revision = ANY ($2::integer[])
        AND (l.batch_date, l.revision) IN (SELECT * FROM unnest($1::date[], $2::integer[]))
        AND ($3::text IS NULL OR (l.batch_date, l.revision, l.customer_id) IN (SELECT batch_date, revision, id FROM below))
        AND ($5::boolean OR l.batch_date >= $4::date)
    GROUP BY 1, 2, 3
)
SELECT s.customer_id, n.name AS customer_name, nullif(s.stock_code, '') AS stock_code, s.currency, s.this_period,
    CASE WHEN $5::boolean THEN s.last_period END AS last_period,
    CASE WHEN $5::boolean AND $6::boolean THEN s.this_period - s.last_period END AS difference,
    s.records, CASE WHEN $5::boolean THEN s.last_records END AS last_records,
    nullif(concat_ws(
        ' ', CASE WHEN s.unpriced THEN 'no_price' END, CASE WHEN NOT $5::boolean THEN 'last_period_no_data' END,
        CASE WHEN NOT $6::boolean THEN 'period_incomplete' END
    ), '') AS flags
FROM sums s
LEFT JOIN (
    SELECT DISTINCT ON (o.id) o.id, o.name
    FROM unnest($1::date[], $2::integer[]) AS w (batch_date, revision)
    JOIN batch_organisation o USING (batch_date, revision)
    ORDER BY o.id, o.batch_date DESC
) n ON n.id = s.customer_id
ORDER BY s.customer_id, s.stock_code, s.currency

-- name: summary_services
-- The same per service, for charts.
WITH RECURSIVE below (batch_date, revision, id) AS (
    SELECT o.batch_date, o.revision, o.id
    FROM unnest($1::date[], $2::integer[]) AS w (batch_date, revision)
    JOIN batch_organisation o USING (batch_date, revision)
    WHERE o.id = $3::text
    UNION
    SELECT o.batch_date, o.revision, o.id
    FROM below b
    JOIN batch_organisation o ON o.batch_date = b.batch_date AND o.revision = b.revision AND o.parent = b.id
)
SELECT l.currency, coalesce(nullif(l.service, ''), '-') AS service,
    coalesce(sum(l.total) FILTER (WHERE l.batch_date >= $4::date), 0) AS this_period,
    CASE WHEN $5::boolean THEN coalesce(sum(l.total) FILTER (WHERE l.batch_date < $4::date), 0) END AS last_period
FROM batch_line l
WHERE l.batch_date = ANY ($1::date[]) AND l.revision = ANY ($2::integer[])
    AND (l.batch_date, l.revision) IN (SELECT * FROM unnest($1::date[], $2::integer[]))
    AND ($3::text IS NULL OR (l.batch_date, l.revision, l.customer_id) IN (SELECT batch_date, revision, id FROM below))
    AND ($5::boolean OR l.batch_date >= $4::date)
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT 1000

-- name: stands_below
-- Whether $4 is the organisation $3, or is above it, in the tree as the batch froze it.
WITH RECURSIVE up (id, parent) AS (
    SELECT id, parent FROM batch_organisation WHERE batch_date = $1 AND revision = $2 AND id = $3
    UNION
    SELECT o.id, o.parent
    FROM up
    JOIN batch_organisation o ON o.batch_date = $1 AND o.revision = $2 AND o.id = up.parent
)
SELECT EXISTS (SELECT FROM up WHERE id = $4)

-- name: level_sums
-- What the first of the organisations that levels_below found takes from each of those directly below it, for all that goes
-- through them, and what it pays for that; and, with nobody it is sold to, what it uses itself. A line of which one of the
-- two is not known is counted apart.
SELECT m.sold_to, m.currency, count(*) AS lines, coalesce(sum(m.sales), 0) AS sales, coalesce(sum(m.cost), 0) AS cost,
    count(*) FILTER (WHERE m.sales IS NULL OR m.cost IS NULL) AS unknown
FROM (
    SELECT below.sold_to, l.currency,
        CASE WHEN below.height = 0 THEN 0
            ELSE line_paid(l.level_totals, l.total, l.flags, below.height - 1) END AS sales,
        CASE WHEN below.is_root THEN l.cost_total
            ELSE line_paid(l.level_totals, l.total, l.flags, below.height) END AS cost
    FROM unnest($3::text[], $4::integer[], $5::text[], $6::boolean[]) AS below (id, height, sold_to, is_root)
    JOIN batch_line l ON l.batch_date = $1 AND l.revision = $2 AND l.customer_id = below.id
    OFFSET 0
) m
GROUP BY m.sold_to, m.currency
ORDER BY m.sold_to COLLATE "C" NULLS LAST, m.currency

-- name: chains_upward
-- For each of some batches ($1 dates, $2 revisions) the organisation $3 and those above it, in the tree as it froze it.
WITH RECURSIVE up (batch_date, revision, id, parent) AS (
    SELECT o.batch_date, o.revision, o.id, o.parent
    FROM unnest($1::date[], $2::integer[]) AS b (batch_date, revision)
    JOIN batch_organisation o ON o.batch_date = b.batch_date AND o.revision = b.revision AND o.id = $3
    UNION
    SELECT o.batch_date, o.revision, o.id, o.parent
    FROM up
    JOIN batch_organisation o ON o.batch_date = up.batch_date AND o.revision = up.revision AND o.id = up.parent
)
SELECT batch_date, revision, array_agg(id) AS chain FROM up GROUP BY batch_date, revision

-- name: newest_batch
-- The latest date there is a batch of, and its current revision.
SELECT batch_date, revision FROM batch_current ORDER BY batch_date DESC LIMIT 1
