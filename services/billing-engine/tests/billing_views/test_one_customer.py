"""The preview of one customer is that customer's part of everybody's, whatever the views look at."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.by_key import by_key
from billing_engine.billing_views.checking import RELATIONS
from billing_engine.billing_views.importing import read_script
from billing_engine.billing_views.model import Dates, Definition, PlanType, ViewFailedError
from billing_engine.transfers.preview import Figures, preview
from engine_bench import Bench
from tallyport.contracts.catalog import CatalogDocument

ROOT = Path(__file__).resolve().parents[4]
PROVIDER = ROOT / "examples" / "provider"
VIEWS = ROOT / "examples" / "views"
TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=1)
# What a customer is charged depends on all the others: its share of everybody's megabytes, in hundredths.
SHARE = """
SELECT i.instance_id AS object_id, i.plan_id, NULL AS description, i.instance_id AS name,
       round(10000 * coalesce(u.used, 0)
             / (SELECT sum(value) FROM olm.usage_by_day WHERE day = olm.usage_date())) AS share
FROM olm.instances i
LEFT JOIN (
    SELECT s.instance_id, sum(d.value) AS used
    FROM olm.subscriptions s JOIN olm.usage_by_day d ON d.object_id = s.subscription_id AND d.day = olm.usage_date()
    GROUP BY s.instance_id
) u ON u.instance_id = i.instance_id
WHERE i.service = 'HE'
"""
# The same in a window over everybody, in T-SQL.
PLACE = """
SELECT su.ServiceUserID AS ObjectID, su.PackageTemplateID AS PlanID, su.DisplayName AS Description, 'place' AS Name,
       row_number() OVER (ORDER BY su.ServiceUserID) AS Place
FROM dbo.ServiceUsers su INNER JOIN dbo.Services s ON s.ServiceID = su.ServiceID WHERE s.ServiceName = 'HE'
"""
# Words that look like the name of a relation, and are none.
WORDS = """
SELECT s.subscription_id AS object_id, s.plan_id, 'read from olm.plans' AS description, "olm"."name" AS name, 2 AS two
FROM olm . subscriptions s, (SELECT 'x' AS name) AS "olm" /* not olm.instances */ WHERE s.service = 'HE'
"""

TWICE_TOMORROW = f"""
SELECT i.instance_id AS object_id, i.plan_id, NULL AS description, NULL AS name, 1 AS n
FROM olm.instances i JOIN (VALUES (1), (2)) t (n) ON t.n = 1 OR olm.batch_date() > DATE '{TODAY}'
WHERE i.service = 'HE'
"""  # noqa: S608 - a date


def _definition(name: str, plan_type: PlanType, column: str, sql: str, **more: Any) -> Definition:
    return Definition(name=name, service="HE", plan_type=plan_type, label=name, quantity_column=column, sql=sql, **more)


def _definitions() -> list[Definition]:
    (imported,) = read_script((VIEWS / "excess-usage.tsql.sql").read_text(encoding="utf-8"))
    native = (VIEWS / "excess-usage.sql").read_text(encoding="utf-8")
    return [
        _definition("excess", "customer_plan", "excess_mb", native),
        _definition("excess-tsql", "customer_plan", "ExcessMB", imported.sql or "", dialect="tsql"),
        _definition("share", "customer_plan", "share", SHARE),
        _definition("place", "user_plan", "Place", PLACE, dialect="tsql"),
        _definition("words", "user_plan", "two", WORDS),
    ]


@pytest.fixture(scope="module")
def catalog() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PROVIDER / "catalog.yaml").read_text(encoding="utf-8"))
    return loaded


async def _filled(bench: Bench, catalog: dict[str, Any]) -> None:
    entities = [json.loads(line) for line in (PROVIDER / "directory.jsonl").read_text(encoding="utf-8").splitlines()]
    await bench.directory(*entities)
    await bench.caught_up()
    # What is gone must not come back by the other way to look.
    gone = [one | {"removed": True} for one in entities if one["kind"] == "subscription"][::40]
    await bench.catalog(catalog)
    users = [one["id"] for one in entities if one["kind"] == "subscription"]
    for counter, hour in (("DiskUsageMB", 9), ("DiskUsageMB", 12), ("CallMinutes", 12)):
        measured = {name: f"{number * hour}.25" for number, name in enumerate(users) if number % 7 and number < 1100}
        await bench.usage(counter, DAY, measured, measured_at=datetime.combine(DAY, time(hour), UTC))
    await bench.usage("DiskUsageMB", TODAY, {users[1]: "3"}, measured_at=datetime.combine(TODAY, time(0), UTC))
    await bench.caught_up()
    await bench.directory(*gone)
    await bench.caught_up()


async def test_both_ways_to_look_show_the_same_rows(bench: Bench, catalog: dict[str, Any]) -> None:
    await _filled(bench, catalog)
    for schema, names in RELATIONS.items():
        for name in sorted(names):
            differ = await bench.fetch(
                f"(TABLE {schema}.{name} EXCEPT ALL TABLE {schema}_by_key.{name}) "
                f"UNION ALL (TABLE {schema}_by_key.{name} EXCEPT ALL TABLE {schema}.{name})"
            )
            (count,) = await bench.fetch(f"SELECT count(*) AS rows FROM {schema}_by_key.{name}")  # noqa: S608 - ours
            assert differ == [], (schema, name)
            assert count["rows"] > 0 or name == "applications", (schema, name)


async def test_one_customer_is_its_part_of_everybody(bench: Bench, catalog: dict[str, Any]) -> None:
    unit_of_work, runner = bench.engine.messaging.unit_of_work, bench.engine.views
    edited = copy.deepcopy(catalog)
    service = next(one for one in edited["services"] if one["id"] == "HE")
    for given in _definitions():
        await billing_views.register(bench.pool, unit_of_work, runner, given, dates=Dates(TODAY, DAY), by="ann")
        unit = {"id": f"by-{given.name}", "plan_type": given.plan_type, "unit": {"view": given.name}}
        service["billing_units"].append(unit | {"price": "sales_price"})
    published = CatalogDocument.model_validate(catalog)
    wanted = CatalogDocument.model_validate(edited)
    both = [next(one for one in document.services if one.id == "HE").billing_units for document in (published, wanted)]
    async with bench.pool.acquire() as connection:
        draft = await billing_views.pinned(connection, both[1])
        about: dict[str, Any] = {
            "published": both[0], "draft": draft, "dates": Dates(TODAY, DAY), "views": runner,
        }  # fmt: skip
        everybody = await preview(connection, "HE", **about)
        parts = {one.customer: (one.before, one.after) for one in everybody.changed}
        assert len(parts) > 10
        sums = Figures()
        for customer, (before, after) in parts.items():
            one = await preview(connection, "HE", **about, customer=customer)
            assert (list(one.before.values()), list(one.after.values())) == ([before], [after]), customer
            sums.lines += after.lines
            sums.total += after.total
        assert sums.lines == sum(one.lines for one in everybody.after.values())
        assert sums.total == sum(one.total for one in everybody.after.values()) > Decimal(0)
        # The other order of the rules, and rules that differ in nothing.
        customer = next(iter(parts))
        turned = await preview(connection, "HE", **{**about, "published": draft, "draft": both[0]}, customer=customer)
        assert (list(turned.before.values()), list(turned.after.values())) == tuple(
            [one] for one in parts[customer][::-1]
        )
        same = await preview(connection, "HE", **{**about, "published": draft}, customer=customer)
        assert (same.before, same.changed) == (same.after, [])


def test_a_text_in_doubt_is_left_alone() -> None:
    (imported,) = read_script((VIEWS / "excess-usage.tsql.sql").read_text(encoding="utf-8"))
    assert imported.sql
    assert by_key(WORDS) is None, "a literal that looks like a relation"
    assert by_key("SELECT E'\\'' , olm.plans.* FROM olm.plans") is None
    assert by_key("SELECT $$x$$, olm.plans.* FROM olm.plans") is None
    assert by_key("SELECT * FROM olm_by_key.plans, olm.plans") is None
    renamed = SHARE.replace("FROM olm.", "FROM olm_by_key.").replace("JOIN olm.", "JOIN olm_by_key.")
    assert by_key(SHARE) == renamed.rstrip()
    assert by_key('SELECT "OLM".plans.name FROM Olm.Plans -- olm.plans') == (
        "SELECT olm_by_key.plans.name FROM olm_by_key.Plans"
    )


async def test_what_a_view_says_twice_of_a_customer_is_refused(bench: Bench, catalog: dict[str, Any]) -> None:
    runner = bench.engine.views
    unit_of_work, dates = bench.engine.messaging.unit_of_work, Dates(TODAY, DAY)
    given = _definition("twice", "customer_plan", "n", TWICE_TOMORROW)
    await billing_views.register(bench.pool, unit_of_work, runner, given, dates=dates, by="ann")
    edited = copy.deepcopy(catalog)
    service = next(one for one in edited["services"] if one["id"] == "HE")
    service["billing_units"] = [{"id": "x", "plan_type": "customer_plan", "unit": {"view": "twice"}}]
    wanted = CatalogDocument.model_validate(edited)
    async with bench.pool.acquire() as connection:
        units = next(one for one in wanted.services if one.id == "HE").billing_units
        draft = await billing_views.pinned(connection, units)
        rows = await connection.fetch(
            "SELECT o.id FROM organisation o JOIN service_instance i ON i.customer_no = o.organisation_no "
            "WHERE i.service = 'HE' AND i.is_billed AND NOT i.reseller_service LIMIT 1"
        )
        tomorrow = Dates(TODAY + timedelta(days=1), DAY)
        with pytest.raises(ViewFailedError, match="several rows for one object"):
            await preview(
                connection, "HE", published=[], draft=draft, dates=tomorrow, views=runner, customer=rows[0]["id"]
            )
