"""The excess-usage view in both dialects: registered, previewed, billed, and the lines that it makes."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from billing_engine.billing_units import service as schemas
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.importing import read_script
from billing_engine.billing_views.model import Dates, Definition
from billing_engine.catalog import service as catalog_service
from billing_engine.transfers.preview import preview
from engine_bench import Bench
from tallyport.contracts.catalog import CatalogDocument

TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=1)
NOON = datetime.combine(DAY, time(12), UTC)
FOLDER = Path(__file__).resolve().parents[4] / "examples" / "views"
LIMITS = {"HE-100": "100", "HE-0": "0", "HE-BLANK": "", "HE-ALL": "Unlimited", "HE-NONE": None, "HE-HALF": "99.5"}
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "HE", "name": "Exchange", "counters": [{"name": "DiskUsageMB", "unit": "MB"}],
        "plans": [
            {"id": name, "type": "customer_plan", "name": f"Plan {name}", "currency": "EUR",
             "properties": {"per_mb": "0.10"} | ({} if limit is None else {"MailBoxDiskLimit": limit})}
            for name, limit in LIMITS.items()
        ] + [{"id": "HE-U", "type": "user_plan", "name": "User", "currency": "EUR", "properties": {}}],
        "billing_units": [{"id": "fee", "plan_type": "customer_plan", "unit": "instance", "price": "per_mb"}],
        "overrides": [{"plan": "HE-100", "organisation": "reseller", "properties": {"MailBoxDiskLimit": "150"}}],
    }],
}  # fmt: skip
# customer -> plan, megabytes of its users, what is above the limit
CASES: dict[str, tuple[str, list[str], str | None]] = {
    "above": ("HE-100", ["80", "45.5"], "25.5"),
    "below": ("HE-100", ["30", "30"], "0"),
    "at-limit": ("HE-100", ["60", "40"], "0"),
    "resold": ("HE-100", ["80", "75"], "5"),
    "zero-limit": ("HE-0", ["500"], "0"),
    "blank-limit": ("HE-BLANK", ["500"], "0"),
    "unlimited": ("HE-ALL", ["500"], "0"),
    "no-limit": ("HE-NONE", ["500"], "0"),
    "fraction": ("HE-HALF", ["100"], "0.5"),
    "measured-zero": ("HE-100", ["0"], "0"),
    "not-measured": ("HE-100", [], None),
}


def _units(*views: str) -> dict[str, Any]:
    catalog = copy.deepcopy(CATALOG)
    for view in views:
        unit = {"id": f"he-{view}", "plan_type": "customer_plan", "unit": {"view": view}, "price": "per_mb"}
        catalog["services"][0]["billing_units"].append(unit)
    return catalog


def _directory() -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = [
        {"kind": "organisation", "id": "root", "type": "service_provider", "name": "Root", "currency": "EUR"},
        {
            "kind": "organisation",
            "id": "reseller",
            "type": "value_added_reseller",
            "parent": "root",
            "name": "Reseller",
        },
    ]
    for name, (plan, measured, _) in CASES.items():
        parent = "reseller" if name == "resold" else "root"
        entities += [
            {"kind": "organisation", "id": name, "type": "customer", "parent": parent, "name": name.title()},
            {"kind": "service_instance", "id": f"he-{name}", "customer": name, "service": "HE", "plan": plan,
             "status": "Provisioned"},
        ]  # fmt: skip
        entities += [
            {"kind": "subscription", "id": f"{name}-{n}", "instance": f"he-{name}", "plan": "HE-U",
             "status": "Provisioned", "user": {"upn": f"{n}@{name}", "name": f"User {n}"}}
            for n in range(len(measured) or 1)
        ]  # fmt: skip
    return entities


async def _register(bench: Bench, given: Definition) -> billing_views.Registered:
    unit_of_work = bench.engine.messaging.unit_of_work
    dates = Dates(TODAY, DAY)
    return await billing_views.register(bench.pool, unit_of_work, bench.engine.views, given, dates=dates, by="ann")


def _given() -> Definition:
    return Definition(
        name="excess-usage",
        service="HE",
        plan_type="customer_plan",
        label="Per Instance - Excess Usage",
        quantity_column="excess_mb",
        sql=(FOLDER / "excess-usage.sql").read_text(encoding="utf-8"),
    )


def _imported() -> Definition:
    (found,) = read_script((FOLDER / "excess-usage.tsql.sql").read_text(encoding="utf-8"))
    assert (found.name, found.plan_type, found.ignored) == ("excess-usage", "customer_plan", [])
    return Definition(
        name=f"{found.name}-tsql",
        service="HE",
        plan_type="customer_plan",
        label=found.label or "",
        quantity_column=found.quantity_column or "",
        sql=found.sql or "",
        dialect="tsql",
    )


async def _transfer(bench: Bench) -> list[dict[str, Any]]:
    """As if the warehouse had loaded the revision before."""
    await bench.fetch("UPDATE transfer SET state = 'done' WHERE state = 'running'")
    return await bench.transfer()


async def test_both_dialects_give_equal_lines(bench: Bench) -> None:
    await bench.directory(*_directory())
    await bench.caught_up()
    measured = {f"{name}-{n}": mb for name, (_, all_mb, _) in CASES.items() for n, mb in enumerate(all_mb)}
    await bench.usage("DiskUsageMB", DAY, measured, measured_at=NOON)
    # An earlier value of the same day, and values of other days, do not count.
    await bench.usage("DiskUsageMB", DAY, {"above-0": "7777"}, measured_at=NOON - timedelta(hours=2))
    for day in (DAY - timedelta(days=1), TODAY):
        await bench.usage("DiskUsageMB", day, {"below-0": "7777"}, measured_at=datetime.combine(day, time(0), UTC))
    await bench.caught_up()
    await bench.catalog(CATALOG)
    done = await _register(bench, _given())
    assert (done.view.version, done.rows, done.changed, done.warnings) == (1, len(CASES), True, [])
    assert not (await _register(bench, _given())).changed
    assert (await _register(bench, _imported())).rows == len(CASES)
    await bench.catalog(_units("excess-usage", "excess-usage-tsql"))
    lines = await _transfer(bench)
    native = {line["customer_id"]: line for line in lines if line["unit"] == "he-excess-usage"}
    translated = {line["customer_id"]: line for line in lines if line["unit"] == "he-excess-usage-tsql"}
    for name, (plan, _, excess) in CASES.items():
        line = native[name]
        assert line["quantity"] == (excess or "0"), name
        assert line["flags"] == ("no_data" if excess is None else ""), name
        assert Decimal(line["total"]) == round(Decimal(excess or "0") / 10, 2), name
        assert (line["object_id"], line["description"], line["name"]) == (f"he-{name}", name.title(), f"Plan {plan}")
        assert (line["quantity_source"], line["plan_type"]) == ("view:excess-usage:1", "customer_plan")
    differ = {"unit", "quantity_source"}
    assert [{k: v for k, v in line.items() if k not in differ} for line in native.values()] == [
        {k: v for k, v in line.items() if k not in differ} for line in translated.values()
    ]


async def test_a_preview_runs_the_view_of_the_draft(bench: Bench) -> None:
    document = CatalogDocument.model_validate(_units("excess-usage"))
    async with bench.pool.acquire() as connection:
        draft = await billing_views.pinned(connection, document.services[0].billing_units)
        found = await preview(
            connection, "HE", published=[], draft=draft, dates=Dates(TODAY, DAY), views=bench.engine.views
        )
    assert str(found.after["EUR"].total) == str(Decimal("3.10") + len(CASES) * Decimal("0.10"))


async def test_a_published_schema_keeps_the_version_it_was_published_with(bench: Bench) -> None:
    await bench.catalog(_units("excess-usage"))
    twice = _given().sql.replace("greatest(u.used", "2 * greatest(u.used")
    doubled = _given().model_copy(update={"sql": twice})
    assert (await _register(bench, doubled)).view.version == 2
    assert {line["quantity"] for line in await _transfer(bench) if line["object_id"] == "he-above"} == {"1", "25.5"}
    async with bench.pool.acquire() as connection:
        changes = await schemas.compare(connection, "HE")
        before = await schemas.newest(connection, "HE")
    assert before is not None
    assert [(one.unit, one.field, one.after) for one in changes] == [
        ("he-excess-usage", "unit", {"view": "excess-usage", "version": 2})
    ]
    await bench.catalog(_units("excess-usage"))
    lines = {(line["object_id"], line["unit"]): line for line in await _transfer(bench)}
    assert lines["he-above", "he-excess-usage"]["quantity"] == "51"
    assert lines["he-above", "he-excess-usage"]["quantity_source"] == "view:excess-usage:2"
    async with bench.engine.messaging.unit_of_work() as uow:
        back = await schemas.revert(uow, "HE", before["version"], by="ann", reason="")
    assert [unit.unit for unit in back.units] == [unit.unit for unit in schemas.units_of(before)]
    lines = {(line["object_id"], line["unit"]): line for line in await _transfer(bench)}
    assert lines["he-above", "he-excess-usage"]["quantity"] == "25.5"


async def test_the_catalogue_knows_the_views(bench: Bench) -> None:
    wrong = _units("nobody", "excess-usage")
    wrong["services"][0]["billing_units"][2] |= {"plan_type": "user_plan"}
    wrong["services"][0]["billing_units"].append(wrong["services"][0]["billing_units"][1] | {"id": "third"})
    wrong["services"][0]["billing_units"][3] |= {"unit": {"view": "excess-usage", "version": 9}}
    async with bench.pool.acquire() as connection:
        try:
            await catalog_service.compare(connection, CatalogDocument.model_validate(wrong))
        except catalog_service.InvalidCatalogError as error:
            found = [(fault.field, fault.message) for fault in error.faults]
    assert found == [
        ("services.0.billing_units.1.unit.view", "there is no view 'nobody'; register it first"),
        (
            "services.0.billing_units.2.plan_type",
            "view 'excess-usage' makes lines of a customer_plan, not of a user_plan",
        ),
        ("services.0.billing_units.3.unit.view", "there is no version 9 of view 'excess-usage'; register it first"),
    ]
