-- name: has_work_tables
-- Whether this connection has the tables of a working set; the last of them tells.
SELECT to_regclass('pg_temp.work_conversion') IS NOT NULL

-- name: create_work_tables
-- The working set of one transfer at a time.
CREATE TEMPORARY TABLE work_unit (
    unit_no int PRIMARY KEY, rank int NOT NULL, service text NOT NULL, kind text NOT NULL, counter_no int,
    aggregation text, price_name text NOT NULL, cost_name text NOT NULL, stock_name text NOT NULL,
    head_json text NOT NULL, unit_code_json text NOT NULL, quantity_source_json text, model text,
    factor numeric, description_format text
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE work_amount (
    unit_no int NOT NULL, n int NOT NULL, part text NOT NULL, name text, number text, PRIMARY KEY (unit_no, n, part)
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE work_exempt (object_no int PRIMARY KEY, flags text NOT NULL) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE work_view (
    unit_no int NOT NULL, customer_no int NOT NULL, object_no int NOT NULL, id text NOT NULL, service text NOT NULL,
    plan text, status text NOT NULL, description text NOT NULL, name text, quantity numeric
) ON COMMIT DELETE ROWS;
CREATE INDEX ON work_view (customer_no);
CREATE TEMPORARY TABLE work_customer (
    customer_no int PRIMARY KEY, rank int NOT NULL, group_no int NOT NULL, id text NOT NULL, id_json text NOT NULL,
    name text NOT NULL, name_json text NOT NULL, site_name text
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE work_ancestor (
    customer_no int NOT NULL, level int NOT NULL, organisation text NOT NULL, currency text, location text,
    PRIMARY KEY (customer_no, level)
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE work_price_group (
    group_no int PRIMARY KEY, customer_no int NOT NULL, from_level int NOT NULL, currency text, location text
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE work_group_level (
    group_no int NOT NULL, n int NOT NULL, level_group_no int NOT NULL, PRIMARY KEY (group_no, n)
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE work_override (
    group_no int NOT NULL, plan text NOT NULL, name text NOT NULL, value text NOT NULL, source text NOT NULL, currency text,
    PRIMARY KEY (group_no, plan, name)
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE work_conversion (
    from_currency text NOT NULL, to_currency text NOT NULL, rate numeric NOT NULL, note text NOT NULL,
    PRIMARY KEY (from_currency, to_currency)
) ON COMMIT DELETE ROWS

-- name: published_units
-- The units of every service's newest version.
SELECT DISTINCT ON (service) service, units FROM schema_version ORDER BY service, version DESC

-- name: fill_work_unit
-- The units $2 that make lines, numbered as they are ranked.
INSERT INTO work_unit
SELECT u.unit_no, u.unit_no, u.service, u.unit, CASE WHEN u.view IS NULL THEN c.counter_no ELSE u.unit_no END,
       CASE WHEN u.view IS NULL THEN s.aggregation ELSE 'view' END, u.price, u.cost, u.stock_code,
       concat_ws(',', to_json(u.service), to_json(u.plan_type), to_json(u.id)), to_json(u.unit_code)::text,
       to_json(coalesce('counter:' || u.counter || ':' || $1::date || u.conversion, 'view:' || u.view))::text, u.model, u.factor, u.description_format
FROM jsonb_to_recordset($2::jsonb) AS u (
    unit_no int, service text, id text, plan_type text, unit text, view text, counter text, price text, cost text, stock_code text,
    unit_code text, model text, factor numeric, conversion text, description_format text
)
LEFT JOIN service_counter s ON s.service = u.service AND s.name = u.counter
LEFT JOIN counter c ON c.name = u.counter

-- name: fill_work_amount
-- The numbers that the price models of these units need: said by the unit, or the plan property that says it. n is the
-- number of the tier, and 0 where a number is about all of them.
INSERT INTO work_amount
SELECT * FROM jsonb_to_recordset($1::jsonb) AS a (unit_no int, n int, part text, name text, number text)

-- name: fill_work_ancestor
-- The way up the tree of everybody who has a billed service instance (of $1 alone, if it is not null), itself first, with
-- the nearest currency and location that were named so far.
WITH RECURSIVE up (customer_no, level, id, parent, currency, location) AS (
    SELECT o.organisation_no, 0, o.id, o.parent, o.currency, o.location
    FROM organisation o
    WHERE $1::text IS NULL AND o.removed_at IS NULL AND EXISTS (
        SELECT FROM service_instance i
        WHERE i.customer_no = o.organisation_no AND i.removed_at IS NULL AND i.is_billed AND NOT i.reseller_service
    )
    UNION ALL
    -- Said by itself, so that a plan for whatever $1 finds it by its id.
    SELECT o.organisation_no, 0, o.id, o.parent, o.currency, o.location
    FROM organisation o
    WHERE o.id = $1 AND o.removed_at IS NULL AND EXISTS (
        SELECT FROM service_instance i
        WHERE i.customer_no = o.organisation_no AND i.removed_at IS NULL AND i.is_billed AND NOT i.reseller_service
    )
    UNION ALL
    SELECT up.customer_no, up.level + 1, o.id, o.parent, coalesce(up.currency, o.currency), coalesce(up.location, o.location)
    FROM up JOIN organisation o ON o.id = up.parent WHERE up.level < 100
)
INSERT INTO work_ancestor SELECT customer_no, level, id, currency, location FROM up

-- name: fill_work_customer
-- The customers in the order of reports, and who of them is in one price group: those below the same parent, with the same
-- currency and location (the nearest that is named; at the top of its way a customer has heard all of them), who have no
-- override of their own. Their prices are the same, at every level of the tree, so they are resolved once.
WITH heard AS (
    SELECT DISTINCT ON (customer_no) customer_no, currency, location FROM work_ancestor ORDER BY customer_no, level DESC
), own AS (
    SELECT DISTINCT level_id AS id FROM plan_override WHERE level = 'organisation'
), grouped AS (
    SELECT o.organisation_no AS customer_no, o.id, o.name, h.currency, h.location,
           dense_rank() OVER (ORDER BY own.id, CASE WHEN own.id IS NULL THEN o.parent END, h.currency, h.location) AS group_no
    FROM heard h JOIN organisation o ON o.organisation_no = h.customer_no LEFT JOIN own ON own.id = o.id
), price_group AS (
    INSERT INTO work_price_group
    SELECT DISTINCT ON (group_no) group_no, customer_no, 0, currency, location FROM grouped ORDER BY group_no, customer_no
)
INSERT INTO work_customer
SELECT customer_no, row_number() OVER (ORDER BY g.id COLLATE "C"), group_no, g.id, to_json(g.id)::text, g.name,
       to_json(g.name)::text, s.name
FROM grouped g LEFT JOIN (
    SELECT customer_no, min(name) AS name FROM site WHERE removed_at IS NULL GROUP BY customer_no HAVING count(*) = 1
) s USING (customer_no)

-- name: fill_work_level
-- The organisations between the root and the customers of a price group, the root's child first: each pays the one above it
-- by what it hears itself, in the customers' currency and at their location. So it is a price group too; groups of customers
-- that have it above them, with the same currency and location, share it.
WITH above AS (
    SELECT g.group_no, g.customer_no, a.level, a.organisation, g.currency, g.location,
           max(a.level) OVER (PARTITION BY g.group_no) - a.level AS n
    FROM work_price_group g JOIN work_ancestor a USING (customer_no)
), paying AS (
    SELECT *, (SELECT max(group_no) FROM work_price_group) + dense_rank() OVER (ORDER BY organisation, currency, location)
           AS level_group_no
    FROM above WHERE level > 0 AND n > 0
), level_group AS (
    INSERT INTO work_price_group
    SELECT DISTINCT ON (level_group_no) level_group_no, customer_no, level, currency, location
    FROM paying ORDER BY level_group_no, customer_no
)
INSERT INTO work_group_level SELECT group_no, n, level_group_no FROM paying

-- name: fill_work_override
-- What each price group hears of each property: the nearest override, from its own level upwards, then the location.
WITH said AS (
    SELECT o.plan, o.name, o.value, g.group_no, a.level AS rank, 'organisation:' || o.level_id AS source, o.currency
    FROM plan_override o JOIN work_ancestor a ON a.organisation = o.level_id
    JOIN work_price_group g ON g.customer_no = a.customer_no AND g.from_level <= a.level
    WHERE o.level = 'organisation'
    UNION ALL
    SELECT o.plan, o.name, o.value, g.group_no, 1000, 'location:' || o.level_id, o.currency
    FROM plan_override o JOIN work_price_group g ON g.location = o.level_id WHERE o.level = 'location'
)
INSERT INTO work_override
SELECT DISTINCT ON (group_no, plan, name) group_no, plan, name, value, source, currency
FROM said ORDER BY group_no, plan, name, rank

-- name: fill_work_conversion
-- The rates of the usage day $1: of each pair the newest that is valid. None is turned round or made of two others.
INSERT INTO work_conversion
SELECT DISTINCT ON (from_currency, to_currency) from_currency, to_currency, rate,
       'converted:' || from_currency || '>' || to_currency || ':' || rate || ':' || valid_from
FROM conversion_rate WHERE valid_from <= $1::date
ORDER BY from_currency, to_currency, valid_from DESC

-- name: has_rules
-- Whether anything may be counted without being charged.
SELECT EXISTS (SELECT FROM non_billable_rule)

-- name: fill_work_exempt
-- What is not charged on the usage day $1, with the reason of the first rule that matches; of all customers, or only $2.
WITH thing AS (
    SELECT customer_no, object_no, service, plan, status, NULL::text AS user_upn, NULL::text AS user_name
    FROM service_instance WHERE removed_at IS NULL AND ($2::int IS NULL OR customer_no = $2)
    UNION ALL
    SELECT s.customer_no, s.object_no, i.service, s.plan, s.status, s.user_upn, s.user_name
    FROM subscription s JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE s.removed_at IS NULL AND ($2::int IS NULL OR s.customer_no = $2)
    UNION ALL
    SELECT a.customer_no, a.object_no, i.service, s.plan, a.status, s.user_upn, s.user_name
    FROM application a
    JOIN subscription s ON s.customer_no = a.customer_no AND s.object_no = a.subscription_no
    JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE a.removed_at IS NULL AND ($2::int IS NULL OR a.customer_no = $2)
), rule AS (
    SELECT *, replace(replace(replace(replace(replace(user_pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'), '?', '_')
        AS user_like
    FROM non_billable_rule WHERE $1::date >= coalesce(valid_from, '-infinity') AND $1::date <= coalesce(valid_to, 'infinity')
)
INSERT INTO work_exempt
SELECT DISTINCT ON (t.object_no) t.object_no, 'non_billable reason:' || r.reason
FROM rule r
JOIN thing t ON (r.service IS NULL OR r.service = t.service) AND (r.plan IS NULL OR r.plan = t.plan)
            AND (r.status IS NULL OR r.status = t.status)
            AND (r.user_like IS NULL OR t.user_upn ILIKE r.user_like OR t.user_name ILIKE r.user_like)
WHERE r.organisation IS NULL
   OR t.customer_no IN (SELECT a.customer_no FROM work_ancestor a WHERE a.organisation = r.organisation)
ORDER BY t.object_no, r.rank

-- name: analyse_work
-- The planner has to know how large the tables are.
ANALYZE work_unit, work_amount, work_view, work_customer, work_price_group, work_group_level, work_override, work_conversion, work_exempt

-- name: customers_in_order
-- The customers, as reports order them.
SELECT customer_no FROM work_customer ORDER BY rank

-- name: customers_within
-- The customers of the working set that are an organisation or below it, as reports order them.
WITH RECURSIVE below (id) AS (
    SELECT id FROM organisation WHERE id = $1 AND removed_at IS NULL
    UNION
    SELECT o.id FROM below JOIN organisation o ON o.parent = below.id
)
SELECT w.customer_no FROM work_customer w JOIN below b ON b.id = w.id ORDER BY w.rank

-- name: compute_lines
-- The lines of the customers $1 as JSON, in parts of $2 lines, with what they sum up to. $3 is the usage day; $4 and $5 are
-- the currencies whose minor unit has not two digits, and how many it has.
--
-- usage -> what was measured    item -> what is billed, in order    rate -> the prices in use, resolved once a price group
-- measured, totalled, line -> an item with its rate, its quantity and its total, written as JSON
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
    UNION ALL
    -- What a registered view says is looked up as if the unit were a counter of its own.
    SELECT customer_no, object_no, unit_no, 'view', quantity FROM work_view WHERE customer_no = ANY ($1::int[])
), instance AS MATERIALIZED (
    SELECT customer_no, object_no, id, service, plan, status FROM service_instance
    WHERE customer_no = ANY ($1::int[]) AND removed_at IS NULL AND is_billed AND NOT reseller_service
), subject AS (
    SELECT customer_no, object_no, id, service, 'instance'::text AS kind, plan, status, NULL::text AS user_name,
           NULL::text AS application_name
    FROM instance
    UNION ALL
    SELECT s.customer_no, s.object_no, s.id, i.service, 'user', s.plan, s.status, s.user_name, NULL
    FROM subscription s JOIN instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE s.customer_no = ANY ($1::int[]) AND s.removed_at IS NULL
    UNION ALL
    SELECT a.customer_no, a.object_no, a.id, i.service, 'application', s.plan, a.status, s.user_name, a.name
    FROM application a
    JOIN subscription s ON s.customer_no = a.customer_no AND s.object_no = a.subscription_no
    JOIN instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE a.customer_no = ANY ($1::int[]) AND s.customer_no = ANY ($1::int[]) AND a.removed_at IS NULL AND s.removed_at IS NULL
    UNION ALL
    SELECT customer_no, object_no, id, service, 'view:' || unit_no, plan, status, description, name
    FROM work_view WHERE customer_no = ANY ($1::int[])
), item AS MATERIALIZED (
    -- What the order depends on stands first: a sort finds the first columns of a row fastest.
    SELECT row_number() OVER (ORDER BY place, id COLLATE "C") AS n, billed.*
    FROM (
        SELECT c.rank::bigint << 32 | u.rank AS place, j.id, j.customer_no, j.object_no, u.unit_no, c.group_no, u.counter_no,
               u.aggregation, coalesce(j.plan, '') AS plan, j.status, c.id AS customer_id, c.id_json AS customer_json,
               CASE WHEN j.kind = 'instance' THEN c.name_json ELSE to_json(j.user_name)::text END AS description_json,
               CASE WHEN u.description_format IS NOT NULL THEN ARRAY[j.user_name, j.application_name, c.name, c.site_name] END
                   AS names,
               u.quantity_source_json,
               CASE WHEN u.aggregation = 'view' THEN to_json(j.application_name)::text END AS name_json
        FROM subject j
        JOIN work_customer c ON c.customer_no = j.customer_no
        JOIN work_unit u ON u.service = j.service AND u.kind = j.kind
    ) billed
), billed_by AS MATERIALIZED (
    SELECT DISTINCT group_no, unit_no, plan FROM item
), used AS MATERIALIZED (
    -- Everybody who pays for it: the customers, and the levels above them. The currency is the one that is billed.
    SELECT paid.*, p.id AS plan_id, p.name AS plan_name, p.currency AS plan_currency,
           coalesce(g.currency, p.currency, 'XXX') AS currency
    FROM (
        SELECT * FROM billed_by
        UNION
        SELECT l.level_group_no, b.unit_no, b.plan FROM billed_by b JOIN work_group_level l USING (group_no)
    ) paid
    JOIN work_price_group g USING (group_no)
    JOIN work_unit u USING (unit_no)
    LEFT JOIN plan p ON p.id = paid.plan AND p.service = u.service
), amount AS (
    -- What the price models name, by the same rule as the prices below. Allowances and sizes are no money.
    SELECT used.group_no, used.unit_no, used.plan, a.n, a.part, coalesce(a.number, o.value, p.value) AS text,
           CASE WHEN a.number IS NOT NULL THEN 'unit' WHEN o.value IS NOT NULL THEN o.source
                WHEN p.value IS NOT NULL THEN 'plan' END AS source,
           CASE WHEN a.part NOT IN ('up_to', 'size') THEN CASE WHEN a.number IS NULL AND o.value IS NOT NULL
               THEN coalesce(o.currency, used.plan_currency) ELSE used.plan_currency END END AS value_currency, used.currency
    FROM used
    JOIN work_amount a USING (unit_no)
    LEFT JOIN work_override o ON (o.group_no, o.plan, o.name) = (used.group_no, used.plan_id, a.name)
    LEFT JOIN plan_property p ON (p.plan, p.name) = (used.plan_id, a.name)
), amount_said AS (
    SELECT a.*, CASE WHEN text ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$' AND length(text) <= 40 THEN text::numeric END AS said,
           a.value_currency <> a.currency AS foreign_value, c.rate, c.note
    FROM amount a LEFT JOIN work_conversion c ON (c.from_currency, c.to_currency) = (a.value_currency, a.currency)
), amount_number AS (
    SELECT *, CASE WHEN foreign_value THEN said * rate ELSE said END AS number FROM amount_said
), tier AS (
    -- Each tier with its upper bound (inclusive; without one it has no end) and its price.
    SELECT group_no, unit_no, plan, n, max(greatest(number, 0)) FILTER (WHERE part = 'up_to' AND number IS NOT NULL) AS up_to,
           coalesce(max(number) FILTER (WHERE part = 'price'), 0) AS price
    FROM amount_number WHERE n > 0 GROUP BY group_no, unit_no, plan, n
), stair AS (
    SELECT *, coalesce(lag(up_to) OVER upwards, 0) AS above FROM tier
    WINDOW upwards AS (PARTITION BY group_no, unit_no, plan ORDER BY n)
), climbed AS (
    SELECT *, coalesce(sum((up_to - above) * price) OVER upwards, 0) AS below FROM stair
    WINDOW upwards AS (PARTITION BY group_no, unit_no, plan ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), model AS MATERIALIZED (
    -- Any model is a row of tiers: above a floor, a foot that is paid for what lies below, and a price for each that lies above.
    -- The upper bounds are negated and turned round, because width_bucket counts its bounds as the first of the next.
    SELECT group_no, unit_no, plan,
           coalesce(array_agg(-up_to ORDER BY n DESC) FILTER (WHERE up_to IS NOT NULL), '{}') AS ceilings,
           array_agg(CASE WHEN u.model = 'volume' THEN 0 ELSE above END ORDER BY n) AS floors,
           array_agg(CASE WHEN u.model = 'volume' THEN 0 ELSE below END ORDER BY n) AS feet,
           array_agg(price ORDER BY n) AS prices
    FROM climbed JOIN work_unit u USING (unit_no) GROUP BY group_no, unit_no, plan
), whole_model AS (
    SELECT group_no, unit_no, plan, max(number) FILTER (WHERE part = 'size') AS package_size,
           max(number) FILTER (WHERE part = 'minimum') AS minimum, max(number) FILTER (WHERE part = 'maximum') AS maximum,
           bool_or(CASE part WHEN 'up_to' THEN text IS NULL WHEN 'size' THEN coalesce(number, 0) <= 0 ELSE number IS NULL END)
               AS incomplete,
           bool_or(part = 'up_to' AND text IS NOT NULL AND number IS NULL) AS unlimited,
           bool_or(foreign_value AND said IS NOT NULL AND rate IS NULL) AS other_currency,
           string_agg(DISTINCT source COLLATE "C", ',' ORDER BY source COLLATE "C") AS sources,
           string_agg(DISTINCT CASE WHEN foreign_value AND said IS NOT NULL THEN note END COLLATE "C", ' '
               ORDER BY CASE WHEN foreign_value AND said IS NOT NULL THEN note END COLLATE "C") AS notes
    FROM amount_number GROUP BY group_no, unit_no, plan
), priced AS (
    -- The nearest override, or else the plan's own value, each with its currency.
    SELECT used.group_no, used.unit_no, used.plan, used.plan_name, u.head_json, u.unit_code_json, u.model, u.factor,
           u.description_format, v.name AS service_name, used.currency, coalesce(so.value, sp.value) AS sales_text,
           CASE WHEN so.value IS NOT NULL THEN so.source WHEN sp.value IS NOT NULL THEN 'plan' END AS source,
           CASE WHEN so.value IS NOT NULL THEN coalesce(so.currency, used.plan_currency) ELSE used.plan_currency END
               AS sales_currency,
           coalesce(co.value, cp.value) AS cost_text,
           CASE WHEN co.value IS NOT NULL THEN coalesce(co.currency, used.plan_currency) ELSE used.plan_currency END
               AS cost_currency,
           coalesce(ko.value, kp.value) AS stock
    FROM used
    JOIN work_unit u USING (unit_no)
    LEFT JOIN service v ON v.id = u.service
    LEFT JOIN work_override so ON (so.group_no, so.plan, so.name) = (used.group_no, used.plan_id, u.price_name)
    LEFT JOIN work_override co ON (co.group_no, co.plan, co.name) = (used.group_no, used.plan_id, u.cost_name)
    LEFT JOIN work_override ko ON (ko.group_no, ko.plan, ko.name) = (used.group_no, used.plan_id, u.stock_name)
    LEFT JOIN plan_property sp ON (sp.plan, sp.name) = (used.plan_id, u.price_name)
    LEFT JOIN plan_property cp ON (cp.plan, cp.name) = (used.plan_id, u.cost_name)
    LEFT JOIN plan_property kp ON (kp.plan, kp.name) = (used.plan_id, u.stock_name)
), said AS (
    SELECT *,
           CASE WHEN sales_text ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$' AND length(sales_text) <= 40
                 AND model IS NULL THEN sales_text::numeric END AS sales_said,
           CASE WHEN cost_text ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$' AND length(cost_text) <= 40
                THEN cost_text::numeric END AS cost_said
    FROM priced
), numbered AS (
    SELECT s.*, CASE WHEN sales_currency <> currency THEN sales_said * sc.rate ELSE sales_said END AS sales,
           CASE WHEN cost_currency <> currency THEN cost_said * cc.rate ELSE cost_said END AS cost, sc.note,
           sales_currency <> currency AND sales_said IS NOT NULL AND sc.rate IS NULL AS other_currency
    FROM said s
    LEFT JOIN work_conversion sc ON (sc.from_currency, sc.to_currency) = (s.sales_currency, s.currency)
    LEFT JOIN work_conversion cc ON (cc.from_currency, cc.to_currency) = (s.cost_currency, s.currency)
), rated AS MATERIALIZED (
    SELECT r.group_no, r.unit_no, r.plan, r.plan_name, r.head_json, r.unit_code_json, r.model, r.factor, r.description_format,
           r.currency, r.sales, r.cost, r.stock, w.ceilings, w.floors, w.feet, w.prices, x.package_size, x.minimum, x.maximum,
           ARRAY[service_name, coalesce(plan_name, plan), coalesce(stock, '')] AS rate_names,
           CASE WHEN x.incomplete IS NULL THEN sales IS NULL ELSE x.incomplete END AS no_price,
           CASE WHEN x.incomplete IS NULL THEN r.other_currency ELSE x.other_currency END AS other_currency,
           CASE WHEN x.unlimited THEN 'unlimited' END AS unlimited,
           CASE WHEN model IS NOT NULL THEN concat_ws(' ', concat_ws(':', model, x.sources), x.notes)
                WHEN sales_currency <> currency AND sales IS NOT NULL THEN concat_ws(' ', source, r.note)
                ELSE source END AS any_source,
           coalesce(m.digits, 2) AS digits
    FROM numbered r
    LEFT JOIN model w USING (group_no, unit_no, plan)
    LEFT JOIN whole_model x USING (group_no, unit_no, plan)
    LEFT JOIN unnest($4::text[], $5::int[]) AS m (code, digits) ON m.code = r.currency
), level_rate AS (
    -- What the levels above a price group pay, the root's child first; a level without a price is written -.
    SELECT b.group_no, b.unit_no, b.plan, count(*)::int AS levels, bool_or(r.no_price) AS gap,
           array_agg(r.sales ORDER BY l.n) AS sales,
           string_agg(coalesce(r.sales::text, '-'), ' ' ORDER BY l.n) AS prices,
           string_agg(coalesce(round(r.sales, r.digits)::text, '-'), ' ' ORDER BY l.n) AS totals_of_one,
           string_agg(CASE WHEN r.no_price THEN '-' ELSE round(0, r.digits)::text END, ' ' ORDER BY l.n) AS totals_of_none,
           string_agg(round(0, r.digits)::text, ' ' ORDER BY l.n) AS nothing,
           array_agg(ROW(l.n, r.sales, r.no_price, r.ceilings, r.floors, r.feet, r.prices, r.package_size, r.minimum, r.maximum)
               ORDER BY l.n) AS rungs
    FROM billed_by b
    JOIN work_group_level l USING (group_no)
    JOIN rated r ON (r.group_no, r.unit_no, r.plan) = (l.level_group_no, b.unit_no, b.plan)
    GROUP BY b.group_no, b.unit_no, b.plan
), rate AS MATERIALIZED (
    -- With the JSON that all lines of a rate share, ready to be put between what differs from line to line.
    SELECT group_no, unit_no, plan, r.sales, r.cost, ceilings, floors, feet, r.prices, package_size, minimum, maximum,
           digits, r.currency, no_price, factor, description_format, rate_names,
           coalesce(l.levels, 0) AS levels, l.sales AS level_sales, l.nothing,
           -- What takes more than a multiplication a level, or many of them, is worked out level by level.
           CASE WHEN floors IS NOT NULL OR l.levels > 4 THEN l.rungs END AS rungs,
           concat_ws(' ', CASE WHEN no_price THEN 'no_price' END, CASE WHEN l.gap AND NOT no_price THEN 'no_level_price' END,
               CASE WHEN other_currency THEN 'other_currency' END, unlimited) AS flags,
           concat_ws(' ', 'no_data', CASE WHEN no_price THEN 'no_price' END, CASE WHEN l.gap AND NOT no_price THEN 'no_level_price' END,
               CASE WHEN other_currency THEN 'other_currency' END, unlimited) AS flags_without_data,
           concat(',', head_json, ',') AS before_object,
           concat(',', coalesce(to_json(nullif(plan, ''))::text, 'null'), ',"line",null,') AS before_description,
           concat(',', to_json(coalesce(plan_name, plan)), ',', to_json(coalesce(stock, '')), ',', unit_code_json, ',"')
               AS before_quantity,
           concat(',', to_json(coalesce(stock, '')), ',', unit_code_json, ',"') AS after_name,
           concat('",', coalesce('"' || r.sales || '"', 'null'), ',', coalesce('"' || cost || '"', 'null'), ',"') AS before_total,
           concat('","', r.currency, '","') AS before_flags,
           s.before_levels,
           -- A quantity that follows from the status is 1 or 0: then the totals of all levels are known beforehand.
           concat(s.before_levels, l.totals_of_one, coalesce('","' || round(cost, digits) || '"]', '",null]')) AS end_of_one,
           concat(s.before_levels, l.totals_of_none, coalesce('","' || round(0 * cost, digits) || '"]', '",null]'))
               AS end_of_none
    FROM billed_by
    JOIN rated r USING (group_no, unit_no, plan)
    LEFT JOIN level_rate l USING (group_no, unit_no, plan)
    CROSS JOIN LATERAL (
        SELECT concat(',', coalesce(to_json(any_source)::text, 'null'), ',',
                      CASE WHEN model IS NULL THEN '"' || coalesce(l.prices, '') || '"' ELSE 'null' END, ',"') AS before_levels
    ) s
), measured AS (
    SELECT i.*, r.sales, r.cost, r.ceilings, r.floors, r.feet, r.prices, r.package_size, r.minimum, r.maximum, r.digits,
           r.currency, r.no_price, r.flags, r.flags_without_data, r.description_format, r.rate_names, r.before_object,
           r.before_description, r.before_quantity, r.after_name, r.before_total, r.before_flags, r.before_levels, r.end_of_one, r.end_of_none,
           r.levels, r.level_sales, r.nothing, r.rungs,
           CASE WHEN r.factor IS NOT NULL THEN trim_scale(coalesce(i.value, 0) * r.factor)
                WHEN i.quantity_source_json IS NOT NULL THEN coalesce(i.value, 0)
                WHEN i.status = 'NotProvisioned' THEN 0 ELSE 1 END AS quantity,
           i.quantity_source_json IS NOT NULL AND i.value IS NULL AS no_data
    FROM (
        SELECT i.*, q.value, e.flags AS exempt
        FROM item i
        LEFT JOIN work_exempt e ON e.object_no = i.object_no
        LEFT JOIN usage_all q ON q.customer_no = i.customer_no AND q.object_no = i.object_no AND q.counter_no = i.counter_no
                             AND q.aggregation = i.aggregation
        -- Joined before the rates are: they make a row wide, and a join may have to copy it.
        OFFSET 0
    ) i
    JOIN rate r USING (group_no, unit_no, plan)
), modelled AS (
    -- What the models other than the plain flat price make of a quantity; null for the plain ones, which do not pay for it.
    SELECT m.*, c.amount
    FROM measured m
    CROSS JOIN LATERAL (
        SELECT CASE WHEN m.floors IS NULL OR m.package_size IS NULL THEN m.quantity
                    ELSE div(m.quantity, m.package_size) + CASE WHEN mod(m.quantity, m.package_size) > 0 THEN 1 ELSE 0 END END
               AS counted
    ) a
    CROSS JOIN LATERAL (
        SELECT CASE WHEN m.floors IS NULL THEN NULL
                    ELSE 1 + cardinality(m.ceilings) - width_bucket(-a.counted, m.ceilings) END AS tier
    ) b
    CROSS JOIN LATERAL (
        SELECT CASE WHEN m.floors IS NULL OR m.no_price THEN NULL WHEN m.quantity <= 0 THEN 0
                    ELSE m.feet[b.tier] + (a.counted - m.floors[b.tier]) * m.prices[b.tier] END AS amount
    ) c
), totalled AS (
    -- A quantity of zero costs nothing, whatever the minimum.
    SELECT *,
           round(CASE WHEN no_price OR exempt IS NOT NULL THEN 0 WHEN floors IS NULL THEN quantity * sales WHEN quantity <= 0 THEN 0
                      ELSE greatest(least(amount, maximum), minimum) END, digits) AS total,
           CASE WHEN exempt IS NOT NULL
                     THEN concat_ws(' ', nullif(CASE WHEN no_data THEN flags_without_data ELSE flags END, ''), exempt)
                WHEN no_data THEN flags_without_data WHEN floors IS NULL OR no_price OR quantity <= 0 THEN flags
                WHEN amount < minimum OR (minimum > maximum AND amount > maximum) THEN concat_ws(' ', nullif(flags, ''), 'minimum')
                WHEN amount > maximum THEN concat_ws(' ', nullif(flags, ''), 'maximum') ELSE flags END AS all_flags
    FROM modelled
), line AS MATERIALIZED (
    SELECT n, (n - 1) / $2::int AS part, customer_id, currency, total, no_data, no_price,
           '[' || customer_json || before_object || to_json(id) || before_description
               || CASE WHEN description_format IS NULL THEN description_json
                       ELSE to_json(format(description_format, names[1], names[2], names[3], names[4], rate_names[1],
                                           rate_names[2], rate_names[3]))::text END
               || CASE WHEN name_json IS NULL THEN before_quantity ELSE ',' || name_json || after_name END
               || quantity || before_total || total || before_flags || all_flags
               || '",' || coalesce(quantity_source_json, '"status:' || status || '"')
               || CASE WHEN quantity_source_json IS NULL AND exempt IS NULL AND rungs IS NULL
                       THEN CASE WHEN quantity = 1 THEN end_of_one ELSE end_of_none END
                       ELSE before_levels
                            || CASE WHEN levels = 0 THEN '' WHEN exempt IS NOT NULL THEN nothing
                                    -- In the order that the array has.
                                    WHEN rungs IS NOT NULL THEN array_to_string(ARRAY(
                                        SELECT round(CASE
                                                   WHEN r.no_price THEN NULL WHEN r.floors IS NULL THEN quantity * r.sales
                                                   WHEN quantity <= 0 THEN 0
                                                   ELSE greatest(least(r.feet[b.tier]
                                                        + (a.counted - r.floors[b.tier]) * r.prices[b.tier], r.maximum), r.minimum)
                                                   END, digits)
                                        FROM unnest(rungs) AS r (
                                            n int, sales numeric, no_price boolean, ceilings numeric[], floors numeric[],
                                            feet numeric[], prices numeric[], package_size numeric, minimum numeric, maximum numeric
                                        )
                                        CROSS JOIN LATERAL (
                                            SELECT CASE WHEN r.package_size IS NULL THEN quantity
                                                        WHEN r.package_size > 0 THEN div(quantity, r.package_size)
                                                            + CASE WHEN mod(quantity, r.package_size) > 0 THEN 1 ELSE 0 END
                                                   END AS counted
                                        ) a
                                        CROSS JOIN LATERAL (
                                            SELECT 1 + cardinality(r.ceilings) - width_bucket(-a.counted, r.ceilings) AS tier
                                        ) b
                                    ), ' ', '-')
                                    WHEN levels = 1 THEN coalesce(round(quantity * level_sales[1], digits)::text, '-')
                                    ELSE concat_ws(' ', coalesce(round(quantity * level_sales[1], digits)::text, '-'),
                                             coalesce(round(quantity * level_sales[2], digits)::text, '-'),
                                             CASE WHEN levels > 2
                                                  THEN coalesce(round(quantity * level_sales[3], digits)::text, '-') END,
                                             CASE WHEN levels > 3
                                                  THEN coalesce(round(quantity * level_sales[4], digits)::text, '-') END) END
                            || coalesce('","' || round(quantity * cost, digits) || '"]', '",null]') END AS json
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

-- name: compute_organisations
-- The tree as it is now, as JSON in parts of $1 rows. One that is removed is still on the way to the customers below it, and
-- there may be something to bill to the customers $2 even when they are removed.
WITH RECURSIVE up (id, parent) AS (
    SELECT id, parent FROM organisation WHERE organisation_no = ANY ($2::int[])
    UNION
    SELECT o.id, o.parent FROM up JOIN organisation o ON o.id = up.parent
), row AS (
    SELECT row_number() OVER (ORDER BY id COLLATE "C") AS n, id,
           '[' || concat_ws(',', to_json(id)::text, coalesce(to_json(parent)::text, 'null'), to_json(type)::text, to_json(name)::text,
               coalesce(to_json(billing_id)::text, 'null'), coalesce(to_json(location)::text, 'null'),
               coalesce(to_json(language)::text, 'null'), coalesce(to_json(currency)::text, 'null')) || ']' AS json
    FROM organisation WHERE removed_at IS NULL OR id IN (SELECT organisation FROM work_ancestor) OR id IN (SELECT id FROM up)
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
