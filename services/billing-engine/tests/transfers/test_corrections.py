"""What is measured after its batch was frozen is billed with the next batch: the difference, exactly."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from billing_engine.transfers.model import TransferRefusedError
from engine_bench import Bench
from late_story import TODAY, Story, computed_now, corrections_among, sums_of

BY_MB: dict[str, Any] = {"plan_type": "user_plan", "unit": "user", "quantity": {"counter": "MB"}, "price": "mb_price"}
TIERS = [{"up_to_inclusive": "10", "price": "0.05"}, {"price": "0.01"}]
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "S", "name": "Store",
        "counters": [{"name": name, "unit": "MB", "aggregation": how}
                     for name, how in (("MB", "last"), ("Peak", "max"), ("Moved", "sum"))],
        "plans": [
            {"id": "S-C", "type": "customer_plan", "name": "Site", "currency": "EUR",
             "properties": {"sales_price": "3", "cost_price": "1"}},
            {"id": "S-U", "type": "user_plan", "name": "Seat", "currency": "EUR",
             "properties": {"sales_price": "5.00", "mb_price": "0.013", "cost_price": "0.002"}},
        ],
        "billing_units": [
            {"id": "site", "plan_type": "customer_plan", "unit": "instance"},
            {"id": "seat", "plan_type": "user_plan", "unit": "user"},
            BY_MB | {"id": "mb"},
            BY_MB | {"id": "peak", "quantity": {"counter": "Peak"}},
            BY_MB | {"id": "moved", "quantity": {"counter": "Moved"}},
            BY_MB | {"id": "gb", "convert": {"from": "MB", "to": "GB"}, "price": "sales_price"},
            BY_MB | {"id": "tiers", "price_model": {"model": "graduated", "tiers": TIERS}},
            BY_MB | {"id": "volume", "price_model": {"model": "volume", "tiers": TIERS}},
            BY_MB | {"id": "included", "price_model": {"model": "included", "included": "20", "minimum": "0.1"}},
            BY_MB | {"id": "package", "price_model": {"model": "package", "size": "7", "maximum": "0.05"}},
        ],
        "overrides": [{"plan": "S-U", "organisation": "shop", "properties": {"mb_price": "0.008"}}],
    }],
    "non_billable": [{"id": "staff", "reason": "staff", "user": "staff*"}],
}  # fmt: skip
COUNTED = {"mb", "peak", "moved", "gb", "tiers", "volume", "included", "package"}


async def test_frozen_and_corrected_lines_are_what_an_undisturbed_batch_would_say(bench: Bench) -> None:
    story = Story(bench, CATALOG)
    await story.begin("ann", "bob", "staff-1", "cyd")
    for counter in ("MB", "Peak", "Moved"):
        await story.measure(0, {"ann": "4.5", "staff-1": "10", "cyd": "3"}, counter)
    first = await story.batch(0)
    for counter in ("MB", "Peak", "Moved"):
        await story.measure(0, {"ann": "33.25", "bob": "21", "staff-1": "12"}, counter, hour=15)
    second = await story.batch(1)
    for counter in ("MB", "Peak", "Moved"):
        await story.measure(0, {"ann": "2", "bob": "30"}, counter, hour=18)
    third = await story.batch(2)
    assert corrections_among(await story.batch(3)) == []
    found = sums_of(first, second, third, measured_on=story.day(0))
    assert found == sums_of(await computed_now(story, 0), measured_on=story.day(0))
    bobs = [
        line for line in corrections_among(second) if line["object_id"] == story.user("bob") and line["unit"] == "mb"
    ]
    said = [(line["corrects"], line["quantity"], line["total"], line["flags"]) for line in bobs]
    assert said == [(str(story.day(1)), "21", "0.17", "late_usage")]
    assert bobs[0]["quantity_source"] == f"counter:MB:{story.day(0)}"
    assert {line["unit"] for line in corrections_among(second)} == COUNTED
    assert (await story.said(1))["late_billed"] == len(corrections_among(second))
    assert all(
        line["total"] == "0.00" for line in corrections_among(second) if line["object_id"] == story.user("staff-1")
    )


async def test_the_frozen_price_counts_and_what_changed_since_does_not_leak_in(bench: Bench) -> None:
    story = Story(bench, CATALOG)
    await story.begin("ann", "gone")
    await story.measure(0, {"ann": "10", "gone": "1"})
    await story.batch(0)
    await bench.directory({"kind": "subscription", "id": story.user("gone"), "deleted": True})
    dearer = copy.deepcopy(CATALOG)
    dearer["services"][0]["overrides"][0]["properties"]["mb_price"] = "7"
    await bench.catalog(dearer)
    await story.measure(0, {"ann": "110", "gone": "101"}, hour=15)
    found = {(line["unit"], line["object_id"]): line for line in corrections_among(await story.batch(1))}
    for name in ("ann", "gone"):
        line = found["mb", story.user(name)]
        assert (line["quantity"], line["sales_price"], line["total"]) == ("100", "0.008", "0.80")
    assert {unit for unit, _ in found} == COUNTED - {"peak", "moved"}


async def test_a_later_word_may_lower_what_was_billed(bench: Bench) -> None:
    story = Story(bench, CATALOG)
    await story.begin("ann")
    await story.measure(0, {"ann": "100"})
    await story.batch(0)
    await story.measure(0, {"ann": "40"})
    lines = [line for line in corrections_among(await story.batch(1)) if line["unit"] == "mb"]
    assert [(line["quantity"], line["total"], line["level_totals"]) for line in lines] == [("-60", "-0.48", "-0.48")]


async def test_a_batch_that_fails_leaves_its_corrections_to_the_next_and_cannot_be_resumed_then(bench: Bench) -> None:
    story = Story(bench, CATALOG)
    await story.begin("ann")
    await story.measure(0, {"ann": "100"})
    await story.batch(0)
    await story.measure(0, {"ann": "200"}, hour=15)
    failed = corrections_among(await story.batch(1, "failed"))
    taken_over = corrections_among(await story.batch(2))
    assert [(line["unit"], line["total"]) for line in failed] == [(line["unit"], line["total"]) for line in taken_over]
    assert taken_over != []
    with pytest.raises(TransferRefusedError, match=f"are in the batch of {story.day(3)} by now; begin a new revision"):
        await bench.engine.transfers.resume(story.day(2), None)
    assert corrections_among(await story.batch(1)) == []


async def test_while_another_date_bills_what_is_late_it_waits(bench: Bench) -> None:
    story = Story(bench, CATALOG)
    await story.begin("ann")
    await story.measure(0, {"ann": "100"})
    await story.batch(0)
    await story.measure(0, {"ann": "200"}, hour=15)
    await bench.transfer(story.day(2))
    waits = await bench.transfer(story.day(3))
    assert [line for line in waits if line["kind"] == "correction"] == []
    assert "late_deferred" in await story.said(2)
    await story.settle(2, "done")
    await story.settle(1, "failed")
    assert corrections_among(await story.batch(3)) != []


async def test_a_new_revision_of_today_has_the_corrections_too(bench: Bench) -> None:
    story = Story(bench, CATALOG, TODAY - timedelta(days=2))
    await story.begin("ann")
    await story.measure(0, {"ann": "100"})
    await story.batch(0)
    await story.measure(0, {"ann": "200"}, hour=15)
    once = corrections_among(await story.batch(1))
    await story.measure(0, {"ann": "300"}, hour=16)
    twice = corrections_among(await story.batch(1))
    assert [line["quantity"] for line in once if line["unit"] == "mb"] == ["100"]
    assert [line["quantity"] for line in twice if line["unit"] == "mb"] == ["200"]


async def test_what_comes_after_the_limit_or_has_no_line_is_not_billed_and_said(bench: Bench) -> None:
    story = Story(bench, CATALOG, TODAY - timedelta(days=390))
    await story.begin("ann")
    await story.measure(0, {"ann": "100"})
    await story.batch(0)
    await story.measure(0, {"ann": "200", "new": "5"}, hour=15)
    assert corrections_among(await story.batch(36)) == []
    said = await story.said(36)
    assert (said["late_billed"], said["late_not_billed"], said["late_not_billed_days"]) == (0, 1, [str(story.day(0))])
    await story.batch(37)
    await bench.directory(
        {"kind": "subscription", "id": story.user("new"), "instance": f"{story.customer}-s", "plan": "S-U",
         "status": "Provisioned", "user": {"upn": "new", "name": "new"}},
    )  # fmt: skip
    await story.measure(37, {"new": "5"}, hour=15)
    assert corrections_among(await story.batch(38)) == []
    assert str(story.day(37)) in (await story.said(38))["late_not_billed_days"]


async def test_a_batch_whose_last_lines_stand_before_corrections_is_corrected_too(bench: Bench) -> None:
    first, last = Story(bench, CATALOG), Story(bench, CATALOG)
    last.customer, last.first = f"z-{last.customer}", first.first
    for story in (first, last):
        await story.begin("ann")
        await story.measure(0, {"ann": "100"})
    await first.batch(0)
    await first.measure(0, {"ann": "200"}, hour=15)
    for story in (first, last):
        await story.measure(1, {"ann": "100"})
    assert corrections_among(await first.batch(1)) != []
    await last.measure(1, {"ann": "200"}, hour=15)
    assert corrections_among(await last.batch(2)) != []
