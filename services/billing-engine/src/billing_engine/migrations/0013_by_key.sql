-- The schemas olm and dbo once more, with the same rows and columns, made to be asked about one object instead of all: no
-- aggregate and no recursion over everybody stands between an object's id and the rows that belong to it, so the planner
-- reaches them by index. Read whole, they are many times slower than olm and dbo. They show the present state only, and a
-- test compares every one with its original.

CREATE INDEX service_instance_id ON service_instance (id);
CREATE INDEX subscription_id ON subscription (id);
CREATE INDEX application_id ON application (id);

CREATE SCHEMA olm_by_key;
CREATE SCHEMA dbo_by_key;
GRANT USAGE ON SCHEMA olm_by_key, dbo_by_key TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA olm_by_key GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA dbo_by_key GRANT SELECT ON TABLES TO PUBLIC;

CREATE VIEW olm_by_key.organisations AS
SELECT id AS organisation_id, type, parent AS parent_id, name, billing_id, location, language, currency
FROM organisation WHERE removed_at IS NULL;

CREATE VIEW olm_by_key.instances AS
SELECT i.id AS instance_id, o.id AS customer_id, i.service, i.plan AS plan_id, i.status, i.is_billed, i.reseller_service,
       i.properties
FROM service_instance i JOIN organisation o ON o.organisation_no = i.customer_no
WHERE i.removed_at IS NULL AND o.removed_at IS NULL;

CREATE VIEW olm_by_key.subscriptions AS
SELECT s.id AS subscription_id, i.id AS instance_id, o.id AS customer_id, i.service, s.plan AS plan_id, s.status,
       s.user_upn, s.user_name
FROM subscription s
JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
JOIN organisation o ON o.organisation_no = s.customer_no
WHERE s.removed_at IS NULL AND i.removed_at IS NULL AND o.removed_at IS NULL;

CREATE VIEW olm_by_key.applications AS
SELECT a.id AS application_id, s.id AS subscription_id, o.id AS customer_id, i.service, s.plan AS plan_id, a.status,
       a.name, a.properties
FROM application a
JOIN subscription s ON s.customer_no = a.customer_no AND s.object_no = a.subscription_no
JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
JOIN organisation o ON o.organisation_no = a.customer_no
WHERE a.removed_at IS NULL AND s.removed_at IS NULL AND i.removed_at IS NULL AND o.removed_at IS NULL;

CREATE VIEW olm_by_key.allocations AS
SELECT i.id AS instance_id, o.id AS customer_id, i.service, a.key AS plan_id, a.value::bigint AS allocated
FROM service_instance i
JOIN organisation o ON o.organisation_no = i.customer_no
CROSS JOIN LATERAL jsonb_each_text(i.allocations) a
WHERE i.removed_at IS NULL AND o.removed_at IS NULL;

CREATE VIEW olm_by_key.plans AS SELECT id AS plan_id, service, type, name, currency FROM plan;

-- Up the tree from one customer, for one plan: the nearest override, else the location's, else the plan's own value.
CREATE VIEW olm_by_key.plan_properties AS
SELECT o.id AS customer_id, p.id AS plan_id, e.name, e.value, e.source
FROM organisation o CROSS JOIN plan p
CROSS JOIN LATERAL (
    WITH RECURSIVE up (level, organisation, parent, location) AS (
        SELECT 0, o.id, o.parent, o.location WHERE o.removed_at IS NULL
        UNION ALL
        SELECT up.level + 1, a.id, a.parent, coalesce(up.location, a.location)
        FROM up JOIN organisation a ON a.id = up.parent WHERE up.level < 100
    ), said AS (
        SELECT v.name, v.value, up.level AS distance, 'organisation:' || v.level_id AS source
        FROM plan_override v JOIN up ON up.organisation = v.level_id WHERE v.plan = p.id AND v.level = 'organisation'
        UNION ALL
        SELECT v.name, v.value, 1000, 'location:' || v.level_id
        FROM plan_override v
        WHERE v.plan = p.id AND v.level = 'location' AND v.level_id = (SELECT location FROM up ORDER BY level DESC LIMIT 1)
        UNION ALL
        SELECT name, value, 1001, 'plan' FROM plan_property WHERE plan = p.id
    )
    SELECT DISTINCT ON (name) name, value, source FROM said ORDER BY name, distance
) e
WHERE EXISTS (
    SELECT FROM service_instance i
    WHERE i.customer_no = o.organisation_no AND i.service = p.service AND i.removed_at IS NULL
);

CREATE VIEW olm_by_key.usage_by_day AS
SELECT m.day, b.id AS object_id, o.id AS customer_id, c.name AS counter,
       CASE d.aggregation WHEN 'max' THEN m.highest WHEN 'sum' THEN m.total ELSE m.newest END AS value
FROM billable_object b
JOIN organisation o ON o.organisation_no = b.customer_no
CROSS JOIN LATERAL (
    SELECT u.day, u.counter_no, (array_agg(u.value ORDER BY u.measured_at DESC))[1] AS newest, max(u.value) AS highest,
           sum(u.value) AS total
    FROM usage_sample u WHERE u.customer_no = b.customer_no AND u.object_no = b.object_no GROUP BY u.day, u.counter_no
) m
CROSS JOIN LATERAL (
    SELECT i.service FROM service_instance i WHERE i.customer_no = b.customer_no AND i.object_no = b.object_no
    UNION ALL
    SELECT i.service
    FROM subscription s JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE s.customer_no = b.customer_no AND s.object_no = b.object_no
    UNION ALL
    SELECT i.service
    FROM application a
    JOIN subscription s ON s.customer_no = a.customer_no AND s.object_no = a.subscription_no
    JOIN service_instance i ON i.customer_no = s.customer_no AND i.object_no = s.instance_no
    WHERE a.customer_no = b.customer_no AND a.object_no = b.object_no
) t
JOIN counter c ON c.counter_no = m.counter_no
LEFT JOIN service_counter d ON d.service = t.service AND d.name = c.name;

CREATE VIEW dbo_by_key.customers AS
SELECT organisation_id AS customerid, parent_id AS parentid, name, billing_id AS billingid, type AS customertype,
       location, currency
FROM olm_by_key.organisations;

CREATE VIEW dbo_by_key.services AS
SELECT instance_id AS serviceid, service AS servicename, customer_id AS customerid, plan_id AS packagetemplateid, status,
       is_billed::int AS isbilled, reseller_service::int AS isresellerservice
FROM olm_by_key.instances;

CREATE VIEW dbo_by_key.packagetemplate AS
SELECT plan_id AS packagetemplateid, service AS servicename, type AS packagetype, name, currency FROM olm_by_key.plans;

CREATE VIEW dbo_by_key.serviceusers AS
SELECT subscription_id AS serviceuserid, instance_id AS serviceid, customer_id AS customerid,
       plan_id AS packagetemplateid, status, user_upn AS userprincipalname, user_name AS displayname
FROM olm_by_key.subscriptions;

CREATE VIEW dbo_by_key.properties AS
SELECT name AS propertyid, name FROM plan_property UNION SELECT name, name FROM plan_override;

CREATE VIEW dbo_by_key.propertyvalues_flat AS
SELECT i.instance_id AS objectid, p.name AS propertyid, p.value
FROM olm_by_key.instances i
JOIN olm_by_key.plan_properties p ON p.customer_id = i.customer_id AND p.plan_id = i.plan_id
UNION ALL
SELECT s.subscription_id, p.name, p.value
FROM olm_by_key.subscriptions s
JOIN olm_by_key.plan_properties p ON p.customer_id = s.customer_id AND p.plan_id = s.plan_id;

CREATE VIEW dbo_by_key.vw_statsdata AS
SELECT object_id AS objectid, counter, day::timestamp AS datetimeofdata, value FROM olm_by_key.usage_by_day;
