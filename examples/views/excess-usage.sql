-- The megabytes that the users of a Hosted Exchange instance have above what their customer's plan includes.
--
--   tallyport billing-view register --name excess-usage --service HE --plan-type customer_plan \
--       --label "Per Instance - Excess Usage" --quantity-column excess_mb --sql examples/views/excess-usage.sql
--
-- A limit that is missing, blank, zero or no number ("Unlimited") means that there is no excess. If none of the users was
-- measured, the quantity is null: the line then has the quantity 0 and the flag no_data.
SELECT i.instance_id AS object_id,
       i.plan_id,
       c.name AS description,
       p.name AS name,
       CASE WHEN u.used IS NULL THEN NULL
            WHEN l.megabytes > 0 THEN greatest(u.used - l.megabytes, 0)
            ELSE 0 END AS excess_mb
FROM olm.instances i
JOIN olm.organisations c ON c.organisation_id = i.customer_id
LEFT JOIN olm.plans p ON p.plan_id = i.plan_id
LEFT JOIN (
    SELECT customer_id, plan_id,
           CASE WHEN trim(value) ~ '^[0-9]+([.][0-9]+)?$' THEN CAST(trim(value) AS numeric) END AS megabytes
    FROM olm.plan_properties WHERE name = 'MailBoxDiskLimit'
) l ON l.customer_id = i.customer_id AND l.plan_id = i.plan_id
LEFT JOIN (
    SELECT s.instance_id, sum(d.value) AS used
    FROM olm.subscriptions s
    JOIN olm.usage_by_day d ON d.object_id = s.subscription_id
    WHERE d.counter = 'DiskUsageMB' AND d.day = olm.usage_date()
    GROUP BY s.instance_id
) u ON u.instance_id = i.instance_id
WHERE i.service = 'HE'
