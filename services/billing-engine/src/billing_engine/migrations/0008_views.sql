-- Registered SQL views, and what they may read: the schema olm, whose columns stay what they are, and the schema dbo,
-- which looks like the database of an older panel. Both hold views with their owner's rights; whoever may connect to
-- this database (its own roles, and nobody else) may read them. The role billing_engine_views has no other right.

CREATE TABLE registered_view (
    name            text        NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    version         integer     NOT NULL CHECK (version > 0),
    service         text        NOT NULL,
    plan_type       text        NOT NULL CHECK (plan_type IN ('customer_plan', 'user_plan', 'application')),
    label           text        NOT NULL,
    quantity_column text        NOT NULL,
    dialect         text        NOT NULL CHECK (dialect IN ('postgres', 'tsql')),
    source_sql      text        NOT NULL,
    sql             text        NOT NULL,
    registered_at   timestamptz NOT NULL,
    registered_by   text        NOT NULL,
    PRIMARY KEY (name, version)
);
-- A version is never changed: published schemas name it.
GRANT SELECT, INSERT ON registered_view TO billing_engine;

-- The versioned tables as they are, or, where the session sets olm.as_of, as they were at that moment. The first branch
-- is the only one that runs when it does not: the others are switched off before they begin.
CREATE SCHEMA state;
GRANT USAGE ON SCHEMA state TO billing_engine;
CREATE FUNCTION state.moment() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('olm.as_of', true), '')::timestamptz;
DO $$
DECLARE
    one text;
BEGIN
    FOR one IN SELECT name FROM versioned_table ORDER BY name LOOP
        EXECUTE format(
            'CREATE VIEW state.%1$I AS SELECT * FROM public.%1$I WHERE state.moment() IS NULL '
            'UNION ALL SELECT * FROM public.%1$I WHERE state.moment() IS NOT NULL AND changed_at <= state.moment() '
            'UNION ALL SELECT (jsonb_populate_record(NULL::public.%1$I, v.row)).* FROM public.row_version v '
            'WHERE state.moment() IS NOT NULL AND v.kind = %1$L '
            'AND v.valid_from <= state.moment() AND v.valid_to > state.moment()', one);
    END LOOP;
END
$$;

-- What a line can be about, as a view names it; billed says whether lines are made for it at all.
CREATE VIEW view_subject AS
SELECT i.customer_no, i.object_no, i.id, i.service, 'instance' AS kind, i.status, o.name,
       i.is_billed AND NOT i.reseller_service AND o.removed_at IS NULL AS billed
FROM state.service_instance i JOIN state.organisation o ON o.organisation_no = i.customer_no
WHERE i.removed_at IS NULL
UNION ALL
SELECT s.customer_no, s.object_no, s.id, i.service, 'user', s.status, s.user_name,
       i.is_billed AND NOT i.reseller_service AND o.removed_at IS NULL
FROM state.subscription s
JOIN state.service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
JOIN state.organisation o ON o.organisation_no = s.customer_no
WHERE s.removed_at IS NULL AND i.removed_at IS NULL
UNION ALL
SELECT a.customer_no, a.object_no, a.id, i.service, 'application', a.status, s.user_name,
       i.is_billed AND NOT i.reseller_service AND o.removed_at IS NULL
FROM state.application a
JOIN state.subscription s ON s.customer_no = a.customer_no AND s.object_no = a.subscription_no
JOIN state.service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
JOIN state.organisation o ON o.organisation_no = a.customer_no
WHERE a.removed_at IS NULL AND s.removed_at IS NULL AND i.removed_at IS NULL;
GRANT SELECT ON view_subject TO billing_engine;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO billing_engine;

CREATE SCHEMA olm;
CREATE SCHEMA dbo;
GRANT USAGE ON SCHEMA olm, dbo TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA olm GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA dbo GRANT SELECT ON TABLES TO PUBLIC;

CREATE FUNCTION olm.batch_date() RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(nullif(current_setting('olm.batch_date', true), '')::date, current_date);
CREATE FUNCTION olm.usage_date() RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(nullif(current_setting('olm.usage_date', true), '')::date, current_date - 1);

CREATE VIEW olm.organisations AS
SELECT id AS organisation_id, type, parent AS parent_id, name, billing_id, location, language, currency
FROM state.organisation WHERE removed_at IS NULL;

CREATE VIEW olm.instances AS
SELECT i.id AS instance_id, o.id AS customer_id, i.service, i.plan AS plan_id, i.status, i.is_billed, i.reseller_service,
       i.properties
FROM state.service_instance i JOIN state.organisation o ON o.organisation_no = i.customer_no
WHERE i.removed_at IS NULL AND o.removed_at IS NULL;

CREATE VIEW olm.subscriptions AS
SELECT s.id AS subscription_id, i.id AS instance_id, o.id AS customer_id, i.service, s.plan AS plan_id, s.status,
       s.user_upn, s.user_name
FROM state.subscription s
JOIN state.service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
JOIN state.organisation o ON o.organisation_no = s.customer_no
WHERE s.removed_at IS NULL AND i.removed_at IS NULL AND o.removed_at IS NULL;

CREATE VIEW olm.applications AS
SELECT a.id AS application_id, s.id AS subscription_id, o.id AS customer_id, i.service, s.plan AS plan_id, a.status,
       a.name, a.properties
FROM state.application a
JOIN state.subscription s ON s.customer_no = a.customer_no AND s.object_no = a.subscription_no
JOIN state.service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
JOIN state.organisation o ON o.organisation_no = a.customer_no
WHERE a.removed_at IS NULL AND s.removed_at IS NULL AND i.removed_at IS NULL AND o.removed_at IS NULL;

CREATE VIEW olm.allocations AS
SELECT i.id AS instance_id, o.id AS customer_id, i.service, a.key AS plan_id, a.value::bigint AS allocated
FROM state.service_instance i
JOIN state.organisation o ON o.organisation_no = i.customer_no
CROSS JOIN LATERAL jsonb_each_text(i.allocations) a
WHERE i.removed_at IS NULL AND o.removed_at IS NULL;

CREATE VIEW olm.plans AS
SELECT id AS plan_id, service, type, name, currency FROM state.plan;

-- The value that counts for a customer: its own, else that of the nearest organisation above it, the provider last, else
-- the location's, else the plan's. A transfer applies the same rule to groups of customers; a test compares the two.
CREATE VIEW olm.plan_properties AS
WITH RECURSIVE chosen AS (
    SELECT DISTINCT i.customer_no, p.id AS plan
    FROM state.service_instance i JOIN state.plan p ON p.service = i.service WHERE i.removed_at IS NULL
), up (customer_no, level, organisation, parent, location) AS (
    SELECT organisation_no, 0, id, parent, location FROM state.organisation
    WHERE removed_at IS NULL AND organisation_no IN (SELECT customer_no FROM chosen)
    UNION ALL
    SELECT up.customer_no, up.level + 1, o.id, o.parent, coalesce(up.location, o.location)
    FROM up JOIN state.organisation o ON o.id = up.parent WHERE up.level < 100
), place AS (
    SELECT DISTINCT ON (customer_no) customer_no, location FROM up ORDER BY customer_no, level DESC
), said AS (
    SELECT up.customer_no, v.plan, v.name, v.value, up.level AS distance, 'organisation:' || v.level_id AS source
    FROM state.plan_override v JOIN up ON up.organisation = v.level_id WHERE v.level = 'organisation'
    UNION ALL
    SELECT place.customer_no, v.plan, v.name, v.value, 1000, 'location:' || v.level_id
    FROM state.plan_override v JOIN place ON place.location = v.level_id WHERE v.level = 'location'
), heard AS (
    SELECT DISTINCT ON (customer_no, plan, name) customer_no, plan, name, value, source
    FROM said ORDER BY customer_no, plan, name, distance
), effective AS (
    SELECT c.customer_no, c.plan, p.name, coalesce(h.value, p.value) AS value, coalesce(h.source, 'plan') AS source
    FROM chosen c
    JOIN state.plan_property p ON p.plan = c.plan
    LEFT JOIN heard h ON h.customer_no = c.customer_no AND h.plan = c.plan AND h.name = p.name
    UNION ALL
    SELECT h.customer_no, h.plan, h.name, h.value, h.source
    FROM heard h JOIN chosen c ON c.customer_no = h.customer_no AND c.plan = h.plan
    WHERE NOT EXISTS (SELECT FROM state.plan_property p WHERE p.plan = h.plan AND p.name = h.name)
)
SELECT o.id AS customer_id, e.plan AS plan_id, e.name, e.value, e.source
FROM effective e JOIN state.organisation o ON o.organisation_no = e.customer_no;

-- One value for each object, counter and day, by the aggregation that the object's service declares for the counter.
CREATE VIEW olm.usage_by_day AS
WITH measured AS (
    SELECT day, customer_no, object_no, counter_no, (array_agg(value ORDER BY measured_at DESC))[1] AS newest,
           max(value) AS highest, sum(value) AS total
    FROM usage_sample GROUP BY day, customer_no, object_no, counter_no
), thing AS (
    SELECT customer_no, object_no, service FROM state.service_instance
    UNION ALL
    SELECT s.customer_no, s.object_no, i.service
    FROM state.subscription s JOIN state.service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    UNION ALL
    SELECT a.customer_no, a.object_no, i.service
    FROM state.application a
    JOIN state.subscription s ON s.customer_no = a.customer_no AND s.object_no = a.subscription_no
    JOIN state.service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
)
SELECT m.day, b.id AS object_id, o.id AS customer_id, c.name AS counter,
       CASE d.aggregation WHEN 'max' THEN m.highest WHEN 'sum' THEN m.total ELSE m.newest END AS value
FROM measured m
JOIN billable_object b ON b.object_no = m.object_no
JOIN state.organisation o ON o.organisation_no = m.customer_no
JOIN counter c ON c.counter_no = m.counter_no
JOIN thing t ON t.customer_no = m.customer_no AND t.object_no = m.object_no
LEFT JOIN state.service_counter d ON d.service = t.service AND d.name = c.name;

-- The older panel: what its administrators wrote views about. Names are folded to lower case, as everywhere here.
CREATE VIEW dbo.customers AS
SELECT organisation_id AS customerid, parent_id AS parentid, name, billing_id AS billingid, type AS customertype,
       location, currency
FROM olm.organisations;

CREATE VIEW dbo.services AS
SELECT instance_id AS serviceid, service AS servicename, customer_id AS customerid, plan_id AS packagetemplateid, status,
       is_billed::int AS isbilled, reseller_service::int AS isresellerservice
FROM olm.instances;

CREATE VIEW dbo.packagetemplate AS
SELECT plan_id AS packagetemplateid, service AS servicename, type AS packagetype, name, currency FROM olm.plans;

CREATE VIEW dbo.serviceusers AS
SELECT subscription_id AS serviceuserid, instance_id AS serviceid, customer_id AS customerid,
       plan_id AS packagetemplateid, status, user_upn AS userprincipalname, user_name AS displayname
FROM olm.subscriptions;

CREATE VIEW dbo.properties AS
SELECT name AS propertyid, name FROM state.plan_property UNION SELECT name, name FROM state.plan_override;

CREATE VIEW dbo.propertyvalues_flat AS
SELECT i.instance_id AS objectid, p.name AS propertyid, p.value
FROM olm.instances i JOIN olm.plan_properties p ON p.customer_id = i.customer_id AND p.plan_id = i.plan_id
UNION ALL
SELECT s.subscription_id, p.name, p.value
FROM olm.subscriptions s JOIN olm.plan_properties p ON p.customer_id = s.customer_id AND p.plan_id = s.plan_id;

CREATE VIEW dbo.vw_statsdata AS
SELECT object_id AS objectid, counter, day::timestamp AS datetimeofdata, value FROM olm.usage_by_day;

-- The functions that translated views call. "Now" is midnight after the usage day, so that "yesterday" is the day that is
-- billed, whatever the offset between the two is set to.
CREATE FUNCTION dbo.getdate() RETURNS timestamp LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (olm.usage_date() + 1)::timestamp;

CREATE FUNCTION dbo.isnumeric(said text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN btrim(said) ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$' THEN 1 ELSE 0 END;
CREATE FUNCTION dbo.isnumeric(said numeric) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN said IS NULL THEN 0 ELSE 1 END;

-- A number in the place of a date is so many days after 1900-01-01, as it is there.
CREATE FUNCTION dbo.dateadd(part text, amount integer, at timestamp) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN at + amount * CASE upper(part)
        WHEN 'YEAR' THEN interval '1 year' WHEN 'QUARTER' THEN interval '3 months' WHEN 'MONTH' THEN interval '1 month'
        WHEN 'WEEK' THEN interval '7 days' WHEN 'DAY' THEN interval '1 day' WHEN 'HOUR' THEN interval '1 hour'
        WHEN 'MINUTE' THEN interval '1 minute' WHEN 'SECOND' THEN interval '1 second' END;
CREATE FUNCTION dbo.dateadd(part text, amount integer, days integer) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN dbo.dateadd(part, amount, timestamp '1900-01-01' + days * interval '1 day');

-- How many boundaries of the part lie between the two, not how many whole ones.
CREATE FUNCTION dbo.datediff(part text, since timestamp, at timestamp) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE upper(part)
        WHEN 'YEAR' THEN extract(year FROM at) - extract(year FROM since)
        WHEN 'MONTH' THEN 12 * (extract(year FROM at) - extract(year FROM since)) + extract(month FROM at) - extract(month FROM since)
        WHEN 'DAY' THEN at::date - since::date
        WHEN 'WEEK' THEN ((at::date - date '1899-12-31') / 7) - ((since::date - date '1899-12-31') / 7)
        WHEN 'HOUR' THEN extract(epoch FROM date_trunc('hour', at) - date_trunc('hour', since)) / 3600
        WHEN 'MINUTE' THEN extract(epoch FROM date_trunc('minute', at) - date_trunc('minute', since)) / 60
        WHEN 'SECOND' THEN extract(epoch FROM date_trunc('second', at) - date_trunc('second', since)) END::integer;
