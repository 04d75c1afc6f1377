-- The same as excess-usage.sql, as it was written for an older panel on SQL Server:
--
--   tallyport billing-view import examples/views/excess-usage.tsql.sql --service HE
CREATE VIEW [dbo].[vw_ExcessUsage]
AS
SELECT  s.ServiceID AS ObjectID,
        s.PackageTemplateID AS PlanID,
        CAST(c.[Name] AS NVARCHAR(255)) AS [Description],
        ISNULL(pt.[Name], s.PackageTemplateID) AS [Name],
        CASE
            WHEN u.Used IS NULL THEN NULL
            WHEN ISNUMERIC(NULLIF(v.Value, '')) = 0 THEN 0
            WHEN CAST(v.Value AS DECIMAL(18, 2)) <= 0 THEN 0
            WHEN u.Used > CAST(v.Value AS DECIMAL(18, 2)) THEN u.Used - CAST(v.Value AS DECIMAL(18, 2))
            ELSE 0
        END AS ExcessMB
FROM    dbo.Services s WITH (NOLOCK)
        INNER JOIN dbo.Customers c WITH (NOLOCK) ON c.CustomerID = s.CustomerID
        LEFT JOIN dbo.PackageTemplate pt WITH (NOLOCK) ON pt.PackageTemplateID = s.PackageTemplateID
        LEFT JOIN (
            SELECT f.ObjectID, f.Value
            FROM   dbo.PropertyValues_Flat f WITH (NOLOCK)
                   INNER JOIN dbo.Properties p WITH (NOLOCK) ON p.PropertyID = f.PropertyID
            WHERE  p.[Name] = N'MailBoxDiskLimit'
        ) v ON v.ObjectID = s.ServiceID
        LEFT JOIN (
            SELECT su.ServiceID, SUM(d.Value) AS Used
            FROM   dbo.ServiceUsers su WITH (NOLOCK)
                   INNER JOIN dbo.vw_StatsData d WITH (NOLOCK) ON d.ObjectID = su.ServiceUserID
            WHERE  d.Counter = 'DiskUsageMB'
                   AND d.DateTimeOfData = DATEADD(D, -1, DATEDIFF(D, 0, getdate()))
            GROUP BY su.ServiceID
        ) u ON u.ServiceID = s.ServiceID
WHERE   s.ServiceName = 'HE'
GO

EXEC sp_BillingUnit_Manage
    @UnitLabel = N'Per Instance - Excess Usage',
    @PlanType = 'CustomerPlan',
    @ViewName = 'vw_ExcessUsage',
    @QuantityColumn = 'ExcessMB'
GO
