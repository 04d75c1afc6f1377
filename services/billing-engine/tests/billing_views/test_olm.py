"""What views read: as documented, and the same as what transfers compute from."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import yaml
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.checking import RELATIONS
from billing_engine.billing_views.importing import read_script
from billing_engine.billing_views.model import Dates, Definition
from engine_bench import Bench

ROOT = Path(__file__).resolve().parents[4]
PROVIDER = ROOT / "examples" / "provider"
TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=1)


async def test_every_column_is_documented_and_nothing_else(bench: Bench) -> None:
    text = (ROOT / "docs" / "olm.md").read_text(encoding="utf-8")
    documented: dict[str, dict[str, str]] = {}
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        if name := re.match(r"`((?:olm|dbo)\.\w+)`", section):
            found = re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, flags=re.MULTILINE)
            documented[name[1]] = dict(found)
    rows = await bench.fetch(
        "SELECT n.nspname || '.' || c.relname AS relation, a.attname AS name, "
        "format_type(a.atttypid, a.atttypmod) AS type "
        "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname IN ('olm', 'dbo') AND c.relkind = 'v' AND a.attnum > 0 ORDER BY a.attnum"
    )
    there: dict[str, dict[str, str]] = {}
    for row in rows:
        there.setdefault(row["relation"], {})[row["name"]] = row["type"].replace(" without time zone", "")
    folded = {
        name.lower(): {column.lower(): type_ for column, type_ in said.items()} for name, said in documented.items()
    }
    assert folded == there
    assert {f"{schema}.{name}" for schema, names in RELATIONS.items() for name in names} == set(there)
    functions = await bench.fetch(
        "SELECT n.nspname || '.' || p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE n.nspname IN ('olm', 'dbo')"
    )
    assert {row["name"] for row in functions} == set(re.findall(r"`((?:olm|dbo)\.\w+)\(", text))


async def test_the_example_provider_as_views_see_it(bench: Bench) -> None:
    entities = [json.loads(line) for line in (PROVIDER / "directory.jsonl").read_text(encoding="utf-8").splitlines()]
    await bench.directory(*entities)
    await bench.caught_up()
    catalog: dict[str, Any] = yaml.safe_load((PROVIDER / "catalog.yaml").read_text(encoding="utf-8"))
    catalog["services"][0]["billing_units"] += [
        {"id": "by-mb", "plan_type": "user_plan", "unit": "user", "quantity": {"counter": "DiskUsageMB"},
         "price": "price_per_mb"},
    ]  # fmt: skip
    await bench.catalog(catalog)
    users = [one["id"] for one in entities if one["kind"] == "subscription"]
    measured = {name: f"{number}.5" for number, name in enumerate(users[:900])}
    await bench.usage("DiskUsageMB", DAY, measured, measured_at=datetime.combine(DAY, time(12), UTC))
    await bench.usage("DiskUsageMB", DAY, dict.fromkeys(measured, "1"), measured_at=datetime.combine(DAY, time(9), UTC))
    await bench.caught_up()
    lines = await bench.transfer()

    told = await bench.fetch("SELECT customer_id, plan_id, name, value, source FROM olm.plan_properties")
    effective = {(row["customer_id"], row["plan_id"], row["name"]): (row["value"], row["source"]) for row in told}
    assert len(effective) == len(told), "one value each"
    checked = 0
    for line in lines:
        name = "price_per_mb" if line["unit"] == "by-mb" else "sales_price"
        # Databases have prices of other names; a price in another currency, or none, is no price.
        if line["sales_price"] is None or line["service"] == "DB":
            continue
        key = (line["customer_id"], line["plan"], name)
        assert effective[key] == (line["sales_price"], line["price_source"]), key
        if line["stock_code"]:
            assert effective[*key[:2], "stock_code"][0] == line["stock_code"]
        checked += 1
    assert checked > 1000
    assert {source.partition(":")[0] for _, source in effective.values()} == {"plan", "organisation", "location"}

    by_day = await bench.fetch("SELECT object_id, value::text FROM olm.usage_by_day WHERE day = $1", DAY)
    assert {row["object_id"]: row["value"] for row in by_day} == measured
    counts = await bench.fetch(
        "SELECT (SELECT count(*) FROM olm.organisations) AS organisation, (SELECT count(*) FROM olm.instances) AS "
        "service_instance, (SELECT count(*) FROM olm.subscriptions) AS subscription, "
        "(SELECT count(*) FROM olm.applications) AS application"
    )
    kinds = [one["kind"] for one in entities]
    assert dict(counts[0].items()) == {kind: kinds.count(kind) for kind in dict(counts[0].items())}
    allocated = {
        (one["id"], plan): number
        for one in entities
        if one["kind"] == "service_instance"
        for plan, number in one.get("allocations", {}).items()
    }
    rows = await bench.fetch("SELECT instance_id, plan_id, allocated FROM olm.allocations")
    assert {(row["instance_id"], row["plan_id"]): row["allocated"] for row in rows} == allocated


async def test_the_examples_run_on_it_in_time(bench: Bench) -> None:
    """Tables that nobody has analysed yet; joined row by row, this takes minutes."""
    folder = ROOT / "examples" / "views"
    (imported,) = read_script((folder / "excess-usage.tsql.sql").read_text(encoding="utf-8"))
    native = (folder / "excess-usage.sql").read_text(encoding="utf-8")
    for name, sql, column in (("native", native, "excess_mb"), ("tsql", imported.sql or "", "ExcessMB")):
        given = Definition.model_validate({
            "name": name, "service": "HE", "plan_type": "customer_plan", "label": name, "quantity_column": column,
            "sql": sql, "dialect": "tsql" if name == "tsql" else "postgres",
        })  # fmt: skip
        unit_of_work, views = bench.engine.messaging.unit_of_work, bench.engine.views
        done = await billing_views.register(bench.pool, unit_of_work, views, given, dates=Dates(TODAY, DAY), by="ann")
        assert done.rows > 40
