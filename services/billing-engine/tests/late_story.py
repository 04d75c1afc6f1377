"""Customers whose usage comes late, and what has to become of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count, pairwise
from typing import Any

from billing_engine.billing_units.model import view_works
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.model import Dates
from billing_engine.transfers import store
from billing_engine.transfers.lines import store as lines_store
from engine_bench import Bench
from tallyport.contracts.billing import LINE_COLUMNS

TODAY = datetime.now(UTC).date()
_NUMBERS = count()
Lines = list[dict[str, Any]]
Sums = dict[tuple[str, str], tuple[Any, ...]]


class Story:
    """A customer of its own for each test, and a stretch of days that no other test bills."""

    def __init__(self, bench: Bench, catalog: dict[str, Any], first: date | None = None) -> None:
        number = next(_NUMBERS)
        self.above = ["shop"]
        self.bench = bench
        self.catalog = catalog
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
            *({"kind": "organisation", "id": one, "type": "value_added_reseller", "parent": parent, "name": one}
              for parent, one in pairwise(["top", *self.above])),
            {"kind": "organisation", "id": self.customer, "type": "customer", "parent": ["top", *self.above][-1],
             "name": 'Late "&"'},
            {"kind": "service_instance", "id": f"{self.customer}-s", "customer": self.customer, "service": "S",
             "plan": "S-C", "status": "Provisioned"},
            *({"kind": "subscription", "id": self.user(name), "instance": f"{self.customer}-s", "plan": "S-U",
               "status": "Provisioned", "user": {"upn": name, "name": name}} for name in users),
        )  # fmt: skip
        await bench.catalog(self.catalog)
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


def corrections_among(lines: Lines) -> Lines:
    """Those that correct another batch."""
    return [line for line in lines if line["kind"] == "correction"]


def sums_of(*batches: Lines, measured_on: date) -> Sums:
    """Of what was measured by a counter on a day: ``added_up``."""
    return added_up(
        line
        for lines in batches
        for line in lines
        if (line["quantity_source"] or "").split(":")[2:3] == [str(measured_on)]
    )


def added_up(lines: Iterable[dict[str, Any]]) -> Sums:
    """By unit and object: quantity, total, what the provider pays, and what each reseller below it does."""
    found: Sums = {}
    for line in lines:
        numbers = [line["quantity"], line["total"], line["cost_total"], *line["level_totals"].split()]
        before = found.get((line["unit"], line["object_id"]), (0,) * len(numbers))
        added = (a + Decimal(b) for a, b in zip(before, numbers, strict=True))
        found[line["unit"], line["object_id"]] = tuple(added)
    return found


async def computed_now(story: Story, n: int) -> Lines:
    """What a batch of day ``n``'s usage says that is computed after everything has arrived."""
    day = story.day(n)
    async with story.bench.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        await billing_views.create_work(connection)
        customers = await lines_store.prepare_work(connection, day)
        works = view_works(await lines_store.published_schemas(connection))
        await billing_views.fill(story.bench.engine.views, [connection], works, Dates(story.day(n + 1), day))
        lines = await lines_store.compute_lines(connection, customers=customers, rows_per_part=10_000, usage_day=day)
    rows = [dict(zip(LINE_COLUMNS, row, strict=True)) for part in lines.parts for row in json.loads(f"[{part.rows}]")]
    return [row for row in rows if row["customer_id"] == story.customer]
