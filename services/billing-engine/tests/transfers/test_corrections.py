"""What is measured after its batch was frozen is billed with the next batch: the difference, exactly."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from billing_engine.transfers import store
from billing_engine.transfers.model import TransferRefusedError
from engine_bench import Bench
from tallyport.contracts.billing import LINE_COLUMNS

TODAY = datetime.now(UTC).date()
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
_NUMBERS = count()
Lines = list[dict[str, Any]]


class Story:
    """A customer of its own for each test, and a stretch of days that no other test bills."""

    def __init__(self, bench: Bench, first: date | None = None) -> None:
        number = next(_NUMBERS)
        self.bench = bench
        self.customer = f"late-{number}"
        self.first = first or TODAY - timedelta(days=200 - 8 * number)

    def day(self, n: int) -> date:
        return self.first + timedelta(days=n)

    def user(self, name: str) -> str:
        return f"{name}-{self.customer}"

    async def begin(self, *users: str) -> None:
        bench = self.bench
        await bench.directory(
            {"kind": "organisation", "id": "top", "type": "service_provider", "name": "Top", "currency": "EUR"},
            {"kind": "organisation", "id": "shop", "type": "value_added_reseller", "parent": "top", "name": "Shop"},
            {"kind": "organisation", "id": self.customer, "type": "customer", "parent": "shop", "name": 'Late "&"'},
            {"kind": "service_instance", "id": f"{self.customer}-s", "customer": self.customer, "service": "S",
             "plan": "S-C", "status": "Provisioned"},
            *({"kind": "subscription", "id": self.user(name), "instance": f"{self.customer}-s", "plan": "S-U",
               "status": "Provisioned", "user": {"upn": name, "name": name}} for name in users),
        )  # fmt: skip
        await bench.catalog(CATALOG)
        await bench.caught_up()

    async def measure(self, n: int, values: Mapping[str, str], counter: str = "MB", hour: int = 12) -> None:
        at = datetime.combine(self.day(n), time(hour), UTC)
        named = {self.user(name): value for name, value in values.items()}
        await self.bench.usage(counter, self.day(n), named, measured_at=at)
        await self.bench.caught_up()

    async def batch(self, n: int, state: str = "done") -> Lines:
        """The batch that bills day ``n``, as the warehouse would leave it."""
        lines = await self.bench.transfer(self.day(n + 1))
        await self.settle(n, state)
        return [line for line in lines if line["customer_id"] == self.customer]

    async def settle(self, n: int, state: str) -> None:
        await self.bench.fetch(
            "UPDATE transfer SET state = $2 WHERE batch_date = $1 AND state = 'running'", self.day(n + 1), state
        )

    async def said(self, n: int) -> dict[str, Any]:
        async with self.bench.pool.acquire() as connection:
            found = await store.newest(connection, self.day(n + 1))
        assert found is not None
        return found.completeness


def _corrections(lines: Lines) -> Lines:
    return [line for line in lines if line["kind"] == "correction"]


def _sums(*batches: Lines, measured_on: date) -> dict[tuple[str, str], tuple[Any, ...]]:
    """By unit and object: quantity, total, what the reseller pays and what the provider pays, over all batches."""
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    for line in (line for lines in batches for line in lines):
        if (line["quantity_source"] or "").split(":")[2:3] == [str(measured_on)]:
            numbers = [Decimal(line[name]) for name in ("quantity", "total", "level_totals", "cost_total")]
            before = found.get((line["unit"], line["object_id"]), (0, 0, 0, 0))
            found[line["unit"], line["object_id"]] = tuple(a + b for a, b in zip(before, numbers, strict=True))
    return found


async def test_frozen_and_corrected_lines_are_what_an_undisturbed_batch_would_say(bench: Bench) -> None:
    story = Story(bench)
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
    assert _corrections(await story.batch(3)) == []
    undisturbed = await _undisturbed(story)
    found = _sums(first, second, third, measured_on=story.day(0))
    assert found == undisturbed
    bobs = [line for line in _corrections(second) if line["object_id"] == story.user("bob") and line["unit"] == "mb"]
    said = [(line["corrects"], line["quantity"], line["total"], line["flags"]) for line in bobs]
    assert said == [(str(story.day(1)), "21", "0.17", "late_usage")]
    assert bobs[0]["quantity_source"] == f"counter:MB:{story.day(0)}"
    assert {line["unit"] for line in _corrections(second)} == COUNTED
    assert (await story.said(1))["late_billed"] == len(_corrections(second))
    assert all(line["total"] == "0.00" for line in _corrections(second) if line["object_id"] == story.user("staff-1"))


async def _undisturbed(story: Story) -> dict[tuple[str, str], tuple[Any, ...]]:
    """What a batch of the first day's usage says that is computed after everything has arrived."""
    async with story.bench.pool.acquire() as connection, connection.transaction():
        customers = await store.prepare_work(connection, story.day(0))
        lines = await store.compute_lines(connection, customers=customers, rows_per_part=10_000, usage_day=story.day(0))
    rows = [dict(zip(LINE_COLUMNS, row, strict=True)) for part in lines.parts for row in json.loads(f"[{part.rows}]")]
    return _sums([row for row in rows if row["customer_id"] == story.customer], measured_on=story.day(0))


async def test_the_frozen_price_counts_and_what_changed_since_does_not_leak_in(bench: Bench) -> None:
    story = Story(bench)
    await story.begin("ann", "gone")
    await story.measure(0, {"ann": "10", "gone": "1"})
    await story.batch(0)
    await bench.directory({"kind": "subscription", "id": story.user("gone"), "deleted": True})
    dearer = copy.deepcopy(CATALOG)
    dearer["services"][0]["overrides"][0]["properties"]["mb_price"] = "7"
    await bench.catalog(dearer)
    await story.measure(0, {"ann": "110", "gone": "101"}, hour=15)
    found = {(line["unit"], line["object_id"]): line for line in _corrections(await story.batch(1))}
    for name in ("ann", "gone"):
        line = found["mb", story.user(name)]
        assert (line["quantity"], line["sales_price"], line["total"]) == ("100", "0.008", "0.80")
    assert {unit for unit, _ in found} == COUNTED - {"peak", "moved"}


async def test_a_later_word_may_lower_what_was_billed(bench: Bench) -> None:
    story = Story(bench)
    await story.begin("ann")
    await story.measure(0, {"ann": "100"})
    await story.batch(0)
    await story.measure(0, {"ann": "40"})
    lines = [line for line in _corrections(await story.batch(1)) if line["unit"] == "mb"]
    assert [(line["quantity"], line["total"], line["level_totals"]) for line in lines] == [("-60", "-0.48", "-0.48")]


async def test_a_batch_that_fails_leaves_its_corrections_to_the_next_and_cannot_be_resumed_then(bench: Bench) -> None:
    story = Story(bench)
    await story.begin("ann")
    await story.measure(0, {"ann": "100"})
    await story.batch(0)
    await story.measure(0, {"ann": "200"}, hour=15)
    failed = _corrections(await story.batch(1, "failed"))
    taken_over = _corrections(await story.batch(2))
    assert [(line["unit"], line["total"]) for line in failed] == [(line["unit"], line["total"]) for line in taken_over]
    assert taken_over != []
    with pytest.raises(TransferRefusedError, match=f"are in the batch of {story.day(3)} by now; begin a new revision"):
        await bench.engine.transfers.resume(story.day(2), None)
    assert _corrections(await story.batch(1)) == []


async def test_while_another_date_bills_what_is_late_it_waits(bench: Bench) -> None:
    story = Story(bench)
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
    assert _corrections(await story.batch(3)) != []


async def test_a_new_revision_of_today_has_the_corrections_too(bench: Bench) -> None:
    story = Story(bench, TODAY - timedelta(days=2))
    await story.begin("ann")
    await story.measure(0, {"ann": "100"})
    await story.batch(0)
    await story.measure(0, {"ann": "200"}, hour=15)
    once = _corrections(await story.batch(1))
    await story.measure(0, {"ann": "300"}, hour=16)
    twice = _corrections(await story.batch(1))
    assert [line["quantity"] for line in once if line["unit"] == "mb"] == ["100"]
    assert [line["quantity"] for line in twice if line["unit"] == "mb"] == ["200"]


async def test_what_comes_after_the_limit_or_has_no_line_is_not_billed_and_said(bench: Bench) -> None:
    story = Story(bench, TODAY - timedelta(days=390))
    await story.begin("ann")
    await story.measure(0, {"ann": "100"})
    await story.batch(0)
    await story.measure(0, {"ann": "200", "new": "5"}, hour=15)
    assert _corrections(await story.batch(36)) == []
    said = await story.said(36)
    assert (said["late_billed"], said["late_not_billed"], said["late_not_billed_days"]) == (0, 1, [str(story.day(0))])
    await story.batch(37)
    await bench.directory(
        {"kind": "subscription", "id": story.user("new"), "instance": f"{story.customer}-s", "plan": "S-U",
         "status": "Provisioned", "user": {"upn": "new", "name": "new"}},
    )  # fmt: skip
    await story.measure(37, {"new": "5"}, hour=15)
    assert _corrections(await story.batch(38)) == []
    assert str(story.day(37)) in (await story.said(38))["late_not_billed_days"]


async def test_a_batch_whose_last_lines_stand_before_corrections_is_corrected_too(bench: Bench) -> None:
    first, last = Story(bench), Story(bench)
    last.customer, last.first = f"z-{last.customer}", first.first
    for story in (first, last):
        await story.begin("ann")
        await story.measure(0, {"ann": "100"})
    await first.batch(0)
    await first.measure(0, {"ann": "200"}, hour=15)
    for story in (first, last):
        await story.measure(1, {"ann": "100"})
    assert _corrections(await first.batch(1)) != []
    await last.measure(1, {"ann": "200"}, hour=15)
    assert _corrections(await last.batch(2)) != []
