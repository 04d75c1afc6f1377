"""Units that read a registered view are corrected too: the view runs again on the state as it was."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

from billing_engine.billing_views.model import Dates, Definition
from billing_engine.billing_views.service import register
from engine_bench import Bench
from late_story import TODAY, Lines, Story, added_up, computed_now, corrections_among

FOLDER = Path(__file__).resolve().parents[4] / "examples" / "views"
EXCESS = (FOLDER / "excess-usage.sql").read_text(encoding="utf-8").replace("'HE'", "'S'").replace("DiskUsageMB", "MB")
# Gives a row only while there is an excess.
HEAVY = f"SELECT * FROM (\n{EXCESS}\n) AS every WHERE excess_mb > 0"  # noqa: S608 - it is a view
# Cannot be run for a day on which somebody measured exactly 13.
BRITTLE = EXCESS.replace("greatest(u.used - l.megabytes, 0)", "1 / CASE WHEN u.used = 13 THEN 0 ELSE 1 END")
TIERS = [{"up_to_inclusive": "10", "price": "0.05"}, {"price": "0.01"}]
SITE: dict[str, Any] = {"plan_type": "customer_plan", "unit": "instance", "price": "mb_price"}
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "S", "name": "Store", "counters": [{"name": "MB", "unit": "MB", "aggregation": "last"}],
        "plans": [
            {"id": "S-C", "type": "customer_plan", "name": "Site", "currency": "EUR",
             "properties": {"mb_price": "0.10", "cost_price": "0.03", "MailBoxDiskLimit": "100"}},
            {"id": "S-U", "type": "user_plan", "name": "Seat", "currency": "EUR",
             "properties": {"mb_price": "0.02", "cost_price": "0.01"}},
        ],
        "billing_units": [SITE | {"id": "site"}],
    }],
}  # fmt: skip
FLAT = SITE | {"id": "excess", "unit": {"view": "excess"}}
TIERED = FLAT | {"id": "tiered", "price_model": {"model": "graduated", "tiers": TIERS}}
LISTED = FLAT | {"id": "listed", "unit": {"view": "heavy"}}
FRAGILE = FLAT | {"id": "fragile", "unit": {"view": "brittle"}}
BY_MB = {"id": "mb", "plan_type": "user_plan", "unit": "user", "quantity": {"counter": "MB"}, "price": "mb_price"}


async def _story(bench: Bench, units: list[dict[str, Any]], views: dict[str, str]) -> Story:
    await bench.catalog(CATALOG)
    for name, sql in views.items():
        given = Definition(
            name=name, service="S", plan_type="customer_plan", label=name, quantity_column="excess_mb", sql=sql
        )
        dates = Dates(TODAY, TODAY - timedelta(days=1))
        await register(bench.pool, bench.engine.messaging.unit_of_work, bench.engine.views, given, dates=dates, by="a")
    catalog = copy.deepcopy(CATALOG)
    catalog["services"][0]["billing_units"] += units
    return Story(bench, catalog)


def _said(lines: Lines) -> dict[str, tuple[str, ...]]:
    return {line["unit"]: (line["quantity"], line["total"], line["flags"]) for line in corrections_among(lines)}


async def test_a_view_and_its_corrections_are_what_an_undisturbed_batch_would_say(bench: Bench) -> None:
    story = await _story(bench, [FLAT, TIERED, LISTED], {"excess": EXCESS, "heavy": HEAVY})
    await story.begin("ann", "bob")
    await story.measure(0, {"ann": "80"})
    first = await story.batch(0)
    assert {line["unit"] for line in first} == {"site", "excess", "tiered"}
    await story.measure(0, {"bob": "45.5"}, hour=15)
    second = await story.batch(1)
    assert _said(second) == {
        "excess": ("25.5", "2.55", "late_usage"),
        "tiered": ("25.5", "0.66", "late_usage"),
        "listed": ("25.5", "2.55", "late_usage"),
    }
    (one,) = [line for line in second if line["unit"] == "excess" and line["kind"] == "correction"]
    assert (one["corrects"], one["object_id"]) == (str(story.day(1)), f"{story.customer}-s")
    assert one["quantity_source"] == "view:excess:1"
    assert (await story.said(1))["late_not_billed"] == 0
    await story.measure(0, {"ann": "10"}, hour=18)
    third = await story.batch(2)
    assert {unit: said[:2] for unit, said in _said(third).items()} == {
        "excess": ("-25.5", "-2.55"), "tiered": ("-25.5", "-0.66"), "listed": ("-25.5", "-2.55"),
    }  # fmt: skip
    await story.measure(0, {"bob": "50"}, hour=19)
    assert corrections_among(await story.batch(3)) == []
    assert (await story.said(3))["late_not_billed"] == 0
    of_views = [line for line in (*first, *corrections_among(second), *corrections_among(third))
                if line["quantity_source"].startswith("view:")]  # fmt: skip
    undisturbed = added_up(line for line in await computed_now(story, 0) if line["unit"] != "site")
    found = added_up(of_views)
    assert found.pop(("listed", f"{story.customer}-s")) == (0, 0, 0, 0)
    assert found == undisturbed


async def test_a_view_sees_the_limit_and_the_price_of_its_time(bench: Bench) -> None:
    story = await _story(bench, [FLAT], {"excess": EXCESS})
    await story.begin("ann", "gone")
    await story.measure(0, {"ann": "80", "gone": "30"})
    await story.batch(0)
    dearer = copy.deepcopy(story.catalog)
    dearer["services"][0]["plans"][0]["properties"] |= {"mb_price": "7", "MailBoxDiskLimit": "1"}
    await bench.directory({"kind": "subscription", "id": story.user("gone"), "deleted": True})
    await bench.catalog(dearer)
    await bench.caught_up()
    await story.measure(0, {"ann": "90"}, hour=15)
    assert _said(await story.batch(1)) == {"excess": ("10", "1.00", "late_usage")}


async def test_a_view_that_fails_on_a_past_day_is_said_and_the_rest_is_billed(bench: Bench) -> None:
    story = await _story(bench, [BY_MB, FRAGILE], {"brittle": BRITTLE})
    await story.begin("ann")
    await story.measure(0, {"ann": "3"})
    await story.batch(0)
    await story.measure(0, {"ann": "13"}, hour=15)
    await story.measure(1, {"ann": "3"})
    assert _said(await story.batch(1)) == {"mb": ("10", "0.20", "late_usage")}
    said = await story.said(1)
    assert (said["late_not_billed"], said["late_not_billed_days"]) == (1, [str(story.day(0))])
    assert said["late_not_billed_reasons"] == [f"{story.day(1)}: view 'brittle': division by zero"]
    assert corrections_among(await story.batch(2)) == []
