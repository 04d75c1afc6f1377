"""A batch of a million lines, from *execute* to the green light, against one INSERT ... SELECT of the same lines.

The limit writes the very rows the warehouse ends up with, into a table with the columns and checks of the warehouse's,
in order, with their places. It has no partitions, so the statement does not pay for finding one. What the same lines
cost without order and places, in a heap without any check, is told beside it.

The engine and the report builder are the real processes. The light is green after the lines are frozen, published
through Kafka, loaded into the warehouse and verified there by count and hash. Memory is each service's peak.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
from harness import median, run, say, timed
from tallyport_local.recovery import remove_data
from tallyport_local.services import SERVICES
from tallyport_local.settings import LocalSettings
from tallyport_local.stack import Stack
from tallyport_local.state import DataFolder

USERS_PER_CUSTOMER = 49
LIMIT = 3.0
MEMORY_LIMIT_MB = 250
MEGABYTE = 1024 * 1024
MEASURED = ("billing-engine", "report-builder")

CATALOG: dict[str, Any] = {
    "services": [
        {
            "id": "HE",
            "name": "Hosted Exchange",
            "plans": [
                {"id": "HE-STD", "type": "customer_plan", "name": "Standard", "currency": "EUR",
                 "properties": {"sales_price": "10.00", "cost_price": "6.00", "stock_code": "HE-STD"}},
                *({"id": f"HE-{n}", "type": "user_plan", "name": f"Plan {n}", "currency": "EUR",
                   "properties": {"sales_price": f"{n}.50", "cost_price": f"{n}.10", "stock_code": f"HE-{n}"}}
                  for n in range(1, 6)),
            ],
            "billing_units": [
                {"id": "he-instance", "plan_type": "customer_plan", "unit": "instance", "unit_code": "HE"},
                {"id": "he-user", "plan_type": "user_plan", "unit": "user", "unit_code": "HE-U"},
            ],
            "overrides": [
                {"plan": f"HE-{n}", "organisation": f"reseller-{r:03}", "properties": {"sales_price": f"{n}.25"}}
                for n in range(1, 6) for r in range(0, 100, 10)
            ],
        }
    ]
}  # fmt: skip

DIRECTORY = """
INSERT INTO organisation (id, type, parent, name, currency, source_partition, source_offset)
SELECT 'provider', 'service_provider', NULL, 'Provider', 'EUR', 0, 0
UNION ALL
SELECT 'reseller-' || to_char(i, 'FM000'), 'value_added_reseller', 'provider', 'Reseller ' || i, NULL, 0, 0
FROM generate_series(0, 99) i
UNION ALL
SELECT 'customer-' || to_char(i, 'FM000000'), 'customer', 'reseller-' || to_char(i % 100, 'FM000'), 'Customer ' || i,
       NULL, 0, 0
FROM generate_series(1, $1::int) i
"""
OBJECTS = """
INSERT INTO billable_object (customer_no, id, kind)
SELECT o.organisation_no, o.id || CASE WHEN n = 0 THEN '-he' ELSE '-user-' || to_char(n, 'FM00') END,
       CASE WHEN n = 0 THEN 'service_instance' ELSE 'subscription' END
FROM organisation o, generate_series(0, $1::int) n WHERE o.type = 'customer' ORDER BY o.organisation_no, n
"""
INSTANCES = """
INSERT INTO service_instance
SELECT customer_no, object_no, id, 'HE', 'HE-STD', 'Provisioned', true, false, '{}', '{}', NULL, 0, 0
FROM billable_object WHERE kind = 'service_instance'
"""
SUBSCRIPTIONS = """
INSERT INTO subscription
SELECT b.customer_no, b.object_no, b.id, i.object_no, 'HE-' || 1 + b.object_no % 5, 'Provisioned',
       b.id || '@example.org', 'User ' || b.object_no, NULL, 0, 0
FROM billable_object b JOIN service_instance i USING (customer_no) WHERE b.kind = 'subscription'
"""
BARE_TABLE = """
CREATE TABLE bare_line (
    customer_id text, service text, plan_type text, unit text, object_id text, plan text, kind text, corrects date,
    description text, name text, stock_code text, unit_code text, quantity numeric, sales_price numeric,
    cost_price numeric, total numeric, currency text, flags text, quantity_source text, price_source text,
    level_prices text, level_totals text, cost_total numeric
)
"""
# The same prices, resolved beforehand: resolving them is part of ours and not of the limit.
BARE_PRICES = """
CREATE TABLE bare_price AS
SELECT o.organisation_no AS customer_no, p.id AS plan, p.name, p.currency,
       coalesce(v.value, max(x.value) FILTER (WHERE x.name = 'sales_price'))::numeric AS sales,
       max(x.value) FILTER (WHERE x.name = 'cost_price')::numeric AS cost,
       max(x.value) FILTER (WHERE x.name = 'stock_code') AS stock,
       CASE WHEN v.value IS NULL THEN 'plan' ELSE 'organisation:' || o.parent END AS source,
       coalesce(v.value, max(x.value) FILTER (WHERE x.name = 'sales_price'))::numeric AS reseller_price
FROM organisation o CROSS JOIN plan p JOIN plan_property x ON x.plan = p.id
LEFT JOIN plan_override v ON v.plan = p.id AND v.level_id = o.parent AND v.name = 'sales_price'
WHERE o.type = 'customer' GROUP BY o.organisation_no, o.parent, p.id, v.value
"""
LINES = """
SELECT o.id AS customer_id, 'HE' AS service, 'user_plan' AS plan_type, 'he-user' AS unit, s.id AS object_id, s.plan,
       'line' AS kind, NULL::date AS corrects, s.user_name AS description, p.name, p.stock, 'HE-U' AS unit_code,
       CASE WHEN s.status = 'NotProvisioned' THEN 0 ELSE 1 END AS quantity, p.sales, p.cost,
       round(CASE WHEN s.status = 'NotProvisioned' THEN 0 ELSE 1 END * p.sales, 2) AS total, p.currency, '' AS flags,
       'status:' || s.status AS quantity_source, p.source, p.reseller_price::text AS level_prices,
       round(CASE WHEN s.status = 'NotProvisioned' THEN 0 ELSE 1 END * p.reseller_price, 2)::text AS level_totals,
       round(CASE WHEN s.status = 'NotProvisioned' THEN 0 ELSE 1 END * p.cost, 2) AS cost_total
FROM subscription s JOIN organisation o ON o.organisation_no = s.customer_no
JOIN bare_price p ON p.customer_no = s.customer_no AND p.plan = s.plan
UNION ALL
SELECT o.id, 'HE', 'customer_plan', 'he-instance', s.id, s.plan, 'line', NULL::date, o.name, p.name, p.stock, 'HE',
       CASE WHEN s.status = 'NotProvisioned' THEN 0 ELSE 1 END, p.sales, p.cost,
       round(CASE WHEN s.status = 'NotProvisioned' THEN 0 ELSE 1 END * p.sales, 2), p.currency, '',
       'status:' || s.status, p.source, p.reseller_price::text,
       round(CASE WHEN s.status = 'NotProvisioned' THEN 0 ELSE 1 END * p.reseller_price, 2)::text,
       round(CASE WHEN s.status = 'NotProvisioned' THEN 0 ELSE 1 END * p.cost, 2)
FROM service_instance s JOIN organisation o ON o.organisation_no = s.customer_no
JOIN bare_price p ON p.customer_no = s.customer_no AND p.plan = s.plan
"""
BARE = f"INSERT INTO bare_line {LINES}"
# What the engine's own statements are given; the sort takes longer with 4 MB and with 1 GB.
SAME_MEMORY = "SET work_mem = '64MB'"
SAME = f"""
INSERT INTO same_line
SELECT current_date, 1, (n - 1) / 2000 + 1, (n - 1) % 2000, customer_id, service, plan_type, unit, object_id, plan,
       kind, corrects, description, name, stock, unit_code, quantity, sales, cost, total, currency, flags,
       quantity_source, source, level_prices, level_totals, cost_total
FROM (
    SELECT row_number() OVER (ORDER BY customer_id COLLATE "C", service, unit, object_id COLLATE "C") AS n, line.*
    FROM ({LINES}) line
) placed
"""  # noqa: S608 - all of it stands here
# The warehouse is another database: its table is made again from what its catalogue says of it.
SAME_TABLE = """
SELECT format('CREATE TABLE same_line (%s)', string_agg(part, ', ' ORDER BY place))
FROM (
    SELECT attnum::int AS place, concat(
               quote_ident(attname), ' ', format_type(atttypid, atttypmod),
               CASE WHEN collname <> 'default' THEN ' COLLATE ' || quote_ident(collname) END,
               CASE WHEN attnotnull THEN ' NOT NULL' END) AS part
    FROM pg_attribute LEFT JOIN pg_collation c ON c.oid = attcollation
    WHERE attrelid = 'batch_line'::regclass AND attnum > 0
    UNION ALL
    SELECT 1000, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'batch_line'::regclass AND contype = 'c'
) parts
"""
ALL_OF = """
SELECT count(*), sum(hashtextextended(concat_ws('|', customer_id, service, plan_type, unit, object_id, plan, kind,
    corrects, description, name, stock_code, unit_code, quantity, sales_price, cost_price, total, currency, flags,
    quantity_source, price_source, level_prices, level_totals, cost_total), 0)) FROM
"""


async def _load(connection: asyncpg.Connection[asyncpg.Record], customers: int) -> None:
    say(f"a directory of {customers:,} customers")
    await connection.execute(DIRECTORY, customers)
    await connection.execute(OBJECTS, USERS_PER_CUSTOMER)
    await connection.execute(INSTANCES)
    await connection.execute(SUBSCRIPTIONS)
    await connection.execute(BARE_TABLE)


async def _peak(stack: Stack, stop: asyncio.Event) -> dict[str, float]:
    """The highest resident memory of each measured service, in MB, until ``stop``."""
    peak = dict.fromkeys(MEASURED, 0.0)
    while not stop.is_set():
        for name in MEASURED:
            identity = stack.state.parts[name].process
            if identity is not None:
                peak[name] = max(peak[name], psutil.Process(identity.pid).memory_info().rss / MEGABYTE)
        await asyncio.sleep(0.2)
    return peak


async def run_transfer(http: httpx.AsyncClient, url: str, lines: int) -> tuple[float, dict[str, float]]:
    """Seconds from execute to green, and seconds of each step."""
    started = time.perf_counter()
    (await http.post(f"{url}/v1/transfers", json={})).raise_for_status()
    today = datetime.now(UTC).date()
    while True:
        state = (await http.get(f"{url}/v1/transfers/{today}")).json()
        assert state["light"] != "red", state["reason"]
        if state["light"] == "green":
            break
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - started
    assert state["lines"] == lines, state
    return seconds, _step_seconds(state)


async def _same_lines(
    connection: asyncpg.Connection[asyncpg.Record], warehouse: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The limits write what ours does, column for column."""
    ours = await warehouse.fetchrow(f"{ALL_OF} batch_line JOIN batch_current USING (batch_date, revision)")
    for table in ("bare_line", "same_line"):
        theirs = await connection.fetchrow(f"{ALL_OF} {table}")
        assert theirs == ours, (table, theirs, ours)


def _step_seconds(state: dict[str, Any]) -> dict[str, float]:
    steps = {}
    for step in state["steps"]:
        begun, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "finished_at"))
        steps[step["name"]] = (ended - begun).total_seconds()
    return steps


async def _measure(stack: Stack, folder: DataFolder, chosen: argparse.Namespace) -> None:
    connection, warehouse = [
        await asyncpg.connect(stack.admin_dsn.rpartition("/")[0] + f"/{name}", password=stack.admin_password)
        for name in ("billing_engine", "report_builder")
    ]
    await _load(connection, chosen.customers)
    await connection.execute(await warehouse.fetchval(SAME_TABLE))
    await connection.execute(SAME_MEMORY)
    url = stack.url("billing-engine")
    headers = {"Authorization": f"Bearer {folder.secret('operator-token')}"}
    stop = asyncio.Event()
    watching = asyncio.create_task(_peak(stack, stop))
    ours: list[float] = []
    bare: list[float] = []
    same: list[float] = []
    lines = chosen.customers * (USERS_PER_CUSTOMER + 1)
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        (await http.put(f"{url}/v1/catalog", json=CATALOG)).raise_for_status()
        (await http.post(f"{url}/v1/services/HE/schema/publish", json={})).raise_for_status()
        await connection.execute(BARE_PRICES)
        await connection.execute("VACUUM ANALYZE")
        for number in range(chosen.runs):
            for times, statement in ((bare, BARE), (same, SAME)):
                await connection.execute("TRUNCATE bare_line" if times is bare else "TRUNCATE same_line")
                await connection.execute("CHECKPOINT")
                times.append(await timed(lambda statement=statement: connection.execute(statement)))
            await connection.execute("CHECKPOINT")
            seconds, steps = await run_transfer(http, url, lines)
            ours.append(seconds)
            told = ", ".join(f"{name} {spent:.1f}" for name, spent in steps.items())
            say(f"run {number + 1}: bare {bare[-1]:.1f} s, same table {same[-1]:.1f} s, ours {seconds:.1f} s ({told})")
        await _same_lines(connection, warehouse)
    stop.set()
    peak = await watching
    await connection.close()
    await warehouse.close()
    print(f"a batch of {lines:,} lines".ljust(46) + "seconds     ratio   wanted")
    print(f"{'INSERT ... SELECT, the same table: the limit':<44}{median(same):>9.1f}")
    print(f"{'INSERT ... SELECT, a bare heap':<44}{median(bare):>9.1f}")
    green, limit = median(ours), median(same)
    print(f"{'execute to green, against the limit':<44}{green:>9.1f}{green / limit:>8.2f} x   {LIMIT:.0f}")
    print(f"{'  against the bare heap':<53}{green / median(bare):>8.2f} x")
    for name, memory in peak.items():
        print(f"{f'peak memory of {name}, MB':<44}{memory:>9.0f}{'':>12}{MEMORY_LIMIT_MB}")


async def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=20_000)
    options.add_argument("--runs", type=int, default=5)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyport-bench-") as name:
        Path(name).chmod(0o755)
        folder = DataFolder(Path(name) / "stack")
        services = [service for service in SERVICES if service.name in MEASURED]
        try:
            async with Stack(folder, LocalSettings(), services=services) as stack:
                await _measure(stack, folder, chosen)
        finally:
            remove_data(folder)


if __name__ == "__main__":
    run(main)
