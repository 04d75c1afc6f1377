"""A batch whose rules are not the simplest: tree prices, tiers and a registered view, and how it grows.

A million lines of 20,000 customers below two levels of resellers: a fee per instance, a fee per user, megabytes per
user in graduated tiers, and what the registered view says of each instance. The limit is one INSERT ... SELECT of the
same finished lines, in order and numbered, into a table defined as the warehouse's. Then the same day again, then twice
the customers; and one customer's preview beside a look-up of the objects that its lines are about, by primary key.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from bench_transfer import INSTANCES, OBJECTS, SAME_MEMORY, SAME_TABLE, SUBSCRIPTIONS, run_transfer
from harness import median, run, say, timed
from tallyport_local.recovery import remove_data
from tallyport_local.services import SERVICES
from tallyport_local.settings import LocalSettings
from tallyport_local.stack import Stack
from tallyport_local.state import DataFolder

USERS_PER_CUSTOMER: Final = 24
LINES_PER_CUSTOMER: Final = 2 + 2 * USERS_PER_CUSTOMER
RESELLERS: Final = 100
PREVIEWS: Final = 40
VIEW: Final = (Path(__file__).resolve().parents[2] / "examples" / "views" / "excess-usage.sql").read_text()
TIERS: Final = [
    {"up_to_inclusive": "1000", "price": "mb_first"}, {"up_to_inclusive": "10000", "price": "mb_next"},
    {"price": "mb_last"},
]  # fmt: skip


def _plan(name: str, type_: str, **properties: str) -> dict[str, Any]:
    return {"id": name, "type": type_, "name": name, "currency": "EUR", "properties": properties}


CATALOG: Final[dict[str, Any]] = {
    "services": [
        {
            "id": "HE",
            "name": "Hosted Exchange",
            "counters": [{"name": "DiskUsageMB", "unit": "MB", "aggregation": "last"}],
            "plans": [
                _plan("HE-STD", "customer_plan", sales_price="10.00", cost_price="6.00", stock_code="HE",
                      MailBoxDiskLimit="200000", price_per_excess_mb="0.002"),
                *(_plan(f"HE-{n}", "user_plan", sales_price=f"{n}.50", cost_price=f"{n}.10", stock_code=f"HE-{n}",
                        mb_first="0", mb_next="0.0015", mb_last="0.0012") for n in range(1, 6)),
            ],
            "billing_units": [
                {"id": "he-instance", "plan_type": "customer_plan", "unit": "instance", "unit_code": "HE"},
                {"id": "he-mb", "plan_type": "user_plan", "unit": "user", "quantity": {"counter": "DiskUsageMB"},
                 "price_model": {"model": "graduated", "tiers": TIERS}, "unit_code": "HE-MB"},
                {"id": "he-user", "plan_type": "user_plan", "unit": "user", "unit_code": "HE-U"},
            ],
            "overrides": [
                {"plan": f"HE-{n}", "organisation": f"reseller-{r:03}",
                 "properties": {"sales_price": f"{n}.25", "mb_next": "0.0014"}}
                for n in range(1, 6) for r in range(0, RESELLERS, 5)
            ],
        }
    ]
}  # fmt: skip
EXCESS: Final = {
    "id": "he-excess", "plan_type": "customer_plan", "unit": {"view": "excess-usage"},
    "quantity": {"column": "excess_mb"}, "price": "price_per_excess_mb", "unit_code": "HE-X",
}  # fmt: skip
# Every tenth reseller is the provider's own; the others are below one of those.
TREE: Final = """
INSERT INTO organisation (id, type, parent, name, currency, source_partition, source_offset)
SELECT 'provider', 'service_provider', NULL, 'Provider', 'EUR', 0, 0
UNION ALL
SELECT 'reseller-' || to_char(i, 'FM000'), 'value_added_reseller',
       CASE WHEN i % 10 = 0 THEN 'provider' ELSE 'reseller-' || to_char(i / 10 * 10, 'FM000') END, 'Reseller ' || i,
       NULL, 0, 0
FROM generate_series(0, $1::int - 1) i
"""
CUSTOMERS: Final = """
INSERT INTO organisation (id, type, parent, name, source_partition, source_offset)
SELECT 'customer-' || to_char(i, 'FM000000'), 'customer', 'reseller-' || to_char(i % $3::int, 'FM000'),
       'Customer ' || i, 0, 0
FROM generate_series($1::int, $2::int) i
"""
USAGE: Final = """
INSERT INTO usage_sample (day, customer_no, object_no, counter_no, measured_at, value, stated_at, source_id)
SELECT $1::date, customer_no, object_no, 1, $1::date + interval '12 hours', object_no % 20000 + 0.25,
       $1::date + interval '12 hours', 1
FROM subscription
"""
COPY_OF_LINES: Final = "CREATE TABLE finished_line AS SELECT * FROM batch_line ORDER BY md5(object_id || unit)"
LIMIT: Final = """
INSERT INTO same_line
SELECT batch_date, revision, (n - 1) / 2000 + 1, (n - 1) % 2000, customer_id, service, plan_type, unit, object_id, plan,
       kind, corrects, description, name, stock_code, unit_code, quantity, sales_price, cost_price, total, currency,
       flags, quantity_source, price_source, level_prices, level_totals, cost_total
FROM (SELECT row_number() OVER (ORDER BY customer_id, service, unit, object_id) AS n, l.* FROM finished_line l) placed
"""
THINGS: Final = """
SELECT * FROM service_instance i LEFT JOIN subscription s ON s.customer_no = i.customer_no
LEFT JOIN usage_sample u ON (u.customer_no, u.object_no, u.day) = (s.customer_no, s.object_no, $2::date)
WHERE i.customer_no = $1
"""


class Scale:
    """A stack with a directory that grows."""

    def __init__(self, stack: Stack, engine: Any, http: httpx.AsyncClient) -> None:
        self.engine = engine
        self.http = http
        self.url = stack.url("billing-engine")
        self.customers = 0

    async def set_up(self) -> None:
        """The tree, the catalogue and the view."""
        await self.engine.execute(TREE, RESELLERS)
        await self.engine.execute("INSERT INTO counter (name) VALUES ('DiskUsageMB')")
        await self._call("PUT", "/v1/catalog", CATALOG)
        await self._grow_to(50)  # registering a view runs it
        view = {
            "name": "excess-usage", "service": "HE", "plan_type": "customer_plan", "label": "Excess usage",
            "quantity_column": "excess_mb", "sql": VIEW,
        }  # fmt: skip
        await self._call("POST", "/v1/billing-views", view)
        (service,) = CATALOG["services"]
        with_view = service | {"billing_units": [*service["billing_units"], EXCESS]}
        await self._call("PUT", "/v1/catalog", {"services": [with_view]})
        await self._call("POST", "/v1/services/HE/schema/publish", {})

    async def _call(self, method: str, path: str, body: Any) -> Any:
        answer = await self.http.request(method, f"{self.url}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def grow_to(self, customers: int) -> None:
        """Have so many customers, each with its objects and their usage of yesterday."""
        say(f"a directory of {customers:,} customers")
        await self._grow_to(customers)

    async def _grow_to(self, customers: int) -> None:
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        for table in ("usage_sample", "application", "subscription", "service_instance", "billable_object"):
            await self.engine.execute(f"TRUNCATE {table} CASCADE")
        await self.engine.execute(CUSTOMERS, self.customers + 1, customers, RESELLERS)
        self.customers = customers
        await self.engine.execute(OBJECTS, USERS_PER_CUSTOMER)
        await self.engine.execute(INSTANCES)
        await self.engine.execute(SUBSCRIPTIONS)
        await self.engine.execute("SELECT ensure_usage_day($1)", yesterday)
        await self.engine.execute(USAGE, yesterday)
        await self.engine.execute("VACUUM ANALYZE")

    async def transfer(self) -> float:
        """Seconds from execute to green."""
        await self.engine.execute("CHECKPOINT")
        seconds, steps = await run_transfer(self.http, self.url, self.customers * LINES_PER_CUSTOMER)
        told = ", ".join(f"{name} {spent:.1f}" for name, spent in steps.items())
        say(f"{self.customers * LINES_PER_CUSTOMER:,} lines in {seconds:.1f} s ({told})")
        return seconds

    async def preview(self) -> None:
        """What one customer would pay by the draft."""
        path = "/v1/services/HE/schema/preview"
        found = await self._call("POST", path, {"customer": f"customer-{self.customers // 2:06}"})
        assert found["totals"], found


# Tables with their partitions and indexes, by the first of their names.
SIZE_OF: Final = """
SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE c.relkind = 'r' AND (c.oid = to_regclass($1) OR i.inhparent = to_regclass($1))
"""


async def _bytes_each(scale: Scale, warehouse: asyncpg.Connection[asyncpg.Record]) -> dict[str, int]:
    """Bytes on disk for each line, sample and object."""
    lines = await warehouse.fetchval("SELECT count(*) FROM batch_line")
    samples = await scale.engine.fetchval("SELECT count(*) FROM usage_sample")
    found: dict[str, int] = {}
    for name, connection, table, count in (
        ("a line, frozen in the engine", scale.engine, "batch_chunk", lines),
        ("a line, in the warehouse", warehouse, "batch_line", lines),
        ("a sample", scale.engine, "usage_sample", samples),
        ("a user", scale.engine, "subscription", samples),
        ("an object's id", scale.engine, "billable_object", samples),
    ):
        found[name] = round(await connection.fetchval(SIZE_OF, table) / count)
    return found


async def _limit(warehouse: asyncpg.Connection[asyncpg.Record]) -> float:
    """Seconds of one INSERT ... SELECT of the lines that the warehouse has."""
    await warehouse.execute(await warehouse.fetchval(SAME_TABLE))
    await warehouse.execute(COPY_OF_LINES)
    await warehouse.execute("VACUUM ANALYZE finished_line")
    await warehouse.execute(SAME_MEMORY)
    await warehouse.execute("CHECKPOINT")
    seconds = await timed(lambda: warehouse.execute(LIMIT))
    await warehouse.execute("DROP TABLE same_line, finished_line")
    return seconds


async def _p95(work: Callable[[], Awaitable[Any]]) -> float:
    """Milliseconds that nineteen of twenty take at most."""
    times = sorted([await timed(work) for _ in range(PREVIEWS)])
    return times[PREVIEWS * 95 // 100] * 1000


async def _measure(stack: Stack, folder: DataFolder, chosen: argparse.Namespace) -> None:
    engine, warehouse = [
        await asyncpg.connect(stack.admin_dsn.rpartition("/")[0] + f"/{name}", password=stack.admin_password)
        for name in ("billing_engine", "report_builder")
    ]
    headers = {"Authorization": f"Bearer {folder.secret('operator-token')}"}
    async with httpx.AsyncClient(headers=headers, timeout=300) as http:
        scale = Scale(stack, engine, http)
        await scale.set_up()
        await scale.grow_to(chosen.customers)
        first = await scale.transfer()
        sizes = await _bytes_each(scale, warehouse)
        limit = await _limit(warehouse)
        again = [await scale.transfer() for _ in range(chosen.runs)]
        number = await engine.fetchval("SELECT max(customer_no) FROM service_instance")
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        looked = await _p95(lambda: engine.fetch(THINGS, number, yesterday))
        previewed = await _p95(scale.preview)
        await scale.grow_to(2 * chosen.customers)
        twice = [await scale.transfer() for _ in range(chosen.runs)]
    await engine.close()
    await warehouse.close()
    once = median([first, *again])
    lines = chosen.customers * LINES_PER_CUSTOMER
    print(f"{lines:,} lines: tree prices, tiers, a view".ljust(46) + "seconds     ratio   wanted")
    print(f"{'INSERT ... SELECT of the same lines':<44}{limit:>9.1f}")
    print(f"{'execute to green':<44}{once:>9.1f}{once / limit:>8.2f} x   3")
    print(f"{'the day again, against the first time':<44}{median(again):>9.1f}{median(again) / first:>8.2f} x   1.1")
    print(f"{'twice the lines, against once':<44}{median(twice):>9.1f}{median(twice) / once:>8.2f} x   2.1")
    print(f"{'one customer, objects by primary key, ms, p95':<45}{looked:>8.2f}")
    print(f"{'one customer, preview, ms, p95':<44}{previewed:>9.1f}{previewed / looked:>8.0f} x   50")
    for name, size in sizes.items():
        print(f"{f'{name}, bytes':<44}{size:>9}")


async def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=20_000)
    options.add_argument("--runs", type=int, default=2, help="how often each size is run again")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyport-bench-") as name:
        Path(name).chmod(0o755)
        folder = DataFolder(Path(name) / "stack")
        services = [service for service in SERVICES if service.name in ("billing-engine", "report-builder")]
        try:
            async with Stack(folder, LocalSettings(), services=services) as stack:
                await _measure(stack, folder, chosen)
        finally:
            remove_data(folder)


if __name__ == "__main__":
    run(main)
