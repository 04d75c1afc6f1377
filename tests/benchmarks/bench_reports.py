"""How fast the customer detail is rendered, as ratios to openpyxl's write-only mode and to xlwt on the same rows.

``uv run python tests/benchmarks/bench_reports.py [--rows N] [--peer-rows N] [--rounds N]``

Ours is timed as it runs in production: a rendering process of its own, from its start to the artifact in the store,
reading from a real PostgreSQL. The peers get their rows ready in memory and are timed for the writing only, so the
ratios err on their side. All take turns; medians of the rounds are shown, with the rendering process's peak memory.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import openpyxl
import psutil
import xlwt
from pydantic import SecretStr
from report_builder.app import migrations
from report_builder.reports.kinds.customer_detail import SCRIPT_LINES
from report_builder.reports.model import PinnedBatch, Wanted
from report_builder.reports.render import Order
from report_builder.warehouse import service
from report_builder.warehouse.stream import ChunkLoader
from tallyport.batch_hash import ChunkFact, batch_sha256
from tallyport.clock import SystemClock
from tallyport.contracts.billing import BatchChunk, TransferState
from tallyport.messaging.record import Record
from tallyport.messaging.unit_of_work import unit_of_work
from tallyport.money import line_total
from tallyport.postgres.migrations import migrate
from tallyport.postgres.pool import open_pool
from tallyport.settings import DatabaseSettings
from tallyport_local.postgres.databases import create_database, ensure_roles, roles_of
from tallyport_local.recovery import remove_data
from tallyport_local.settings import LocalSettings
from tallyport_local.stack import Stack
from tallyport_local.state import DataFolder

DAY = date(2026, 11, 21)
ROWS_PER_CHUNK = 1000
CHUNKS_PER_POLL = 100
USERS_PER_CUSTOMER = 24
TARGETS = {"csv": ("openpyxl", 40), "xml": ("openpyxl", 10), "xlsx": ("openpyxl", 10), "xls": ("xlwt", 1)}
MAX_PEAK_MIB = 150
ORGANISATIONS = {"reseller-detail": "var"}


def lines(count: int) -> Iterator[list[str | None]]:
    """Lines as a provider's batch has them, ordered by customer: an instance, then its users."""
    for number in range(count):
        customer = f"c-{number // (USERS_PER_CUSTOMER + 1):06}"
        if number % (USERS_PER_CUSTOMER + 1) == 0:
            yield [
                customer, "HE", "customer_plan", "he-instance", f"inst-{number:08}", "HE-STD", "line", None,
                f"Kunde Müller {customer}", "Standard", "HE-STD", "HE", "1", "10.00", "6.00", "10.00", "EUR", "",
                "status:Provisioned", "plan", "8.00", "8.00", "6.00",
            ]  # fmt: skip
        else:
            quantity, price = Decimal(number % 9973) / 8, Decimal("0.0015")
            yield [
                customer, "HE", "user_plan", "he-user", f"sub-{number:08}", "HE-GOLD", "line", None,
                f"Jörg Ünsal {number}", "Gold", "HE-G", "HE-MB", f"{quantity:f}", f"{price:f}", "0.0010",
                f"{line_total(quantity, price, 'EUR'):f}", "EUR", "" if number % 50 else "no_data",
                "counter:DiskUsageMB:2026-11-20", "organisation:var-north", "0.0012",
                f"{line_total(quantity, Decimal('0.0012'), 'EUR'):f}",
                f"{line_total(quantity, Decimal('0.0010'), 'EUR'):f}",
            ]  # fmt: skip


def chunks(rows: int) -> Iterator[tuple[ChunkFact, Record]]:
    """The batch as records of ``billing.quantities``."""
    customers = -(-rows // (USERS_PER_CUSTOMER + 1))
    tree: list[list[str | None]] = [
        ["root", None, "service_provider", "Provider", None, None, "de", "EUR"],
        ["var", "root", "value_added_reseller", "Reseller", None, None, "de", "EUR"],
    ]
    customer_nodes: Iterator[list[str | None]] = (
        [f"c-{n:06}", "var", "customer", f"Kunde {'& Söhne' if n % 7 else 'Müller'} {n}", None, None, "de", "EUR"]
        for n in range(customers)
    )
    sequence = 0
    for kind, source in (("organisations", itertools.chain(tree, customer_nodes)), ("lines", lines(rows))):
        while block := [row for _, row in zip(range(ROWS_PER_CHUNK), source, strict=False)]:
            sequence += 1
            body = msgspec.json.encode(block)[1:-1]
            fact = ChunkFact(sequence, kind, len(block), hashlib.sha256(body).hexdigest())  # type: ignore[arg-type]
            head = f'{{"batch_date":"{DAY}","revision":1,"sequence":{sequence},"kind":"{kind}","sha256":"{fact.sha256}"'
            headers = (
                ("ce_specversion", b"1.0"),
                ("ce_id", str(sequence).encode()),
                ("ce_source", b"/benchmark"),
                ("ce_type", BatchChunk.TYPE.encode()),
            )
            value = head.encode() + b',"rows":[' + body + b"]}"
            yield fact, Record("billing.quantities", 0, sequence, b"", value, headers, 0)


@asynccontextmanager
async def postgres() -> AsyncIterator[DatabaseSettings]:
    """A real PostgreSQL with the report builder's migrated database."""
    with tempfile.TemporaryDirectory(prefix="tallyport-bench-") as name:
        folder = DataFolder(Path(name) / "stack")
        folder.create()
        try:
            async with Stack(folder, LocalSettings(), services=()) as stack:
                passwords = {role: secrets.token_hex(16) for role in roles_of(["report_builder"])}
                admin = await asyncpg.connect(stack.admin_dsn, password=stack.admin_password)
                await ensure_roles(admin, ["report_builder"], passwords)
                if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = 'report_builder'"):
                    await create_database(admin, "report_builder", service_database="report_builder")
                await admin.close()
                server = stack.admin_dsn.split("@")[1].split("/")[0]

                def settings(role: str) -> DatabaseSettings:
                    dsn = f"postgresql://{role}@{server}/report_builder"
                    return DatabaseSettings(dsn=dsn, password=SecretStr(passwords[role]))

                await migrate(settings("report_builder_owner"), migrations())
                yield settings("report_builder")
        finally:
            remove_data(folder)


async def load(database: DatabaseSettings, rows: int) -> str:
    """Load and verify the batch; returns its hash."""
    pool = await open_pool(database, "benchmark")
    loader = ChunkLoader()
    facts: list[ChunkFact] = []
    spent = 0.0
    source = chunks(rows)

    while block := [one for _, one in zip(range(CHUNKS_PER_POLL), source, strict=False)]:
        facts += [fact for fact, _ in block]
        started = time.perf_counter()
        async with unit_of_work(pool, service="report-builder", consumer="benchmark", clock=SystemClock()) as uow:
            await loader.apply(uow, loader.read([record for _, record in block], uow.reject))
        spent += time.perf_counter() - started
    sha256 = batch_sha256(DAY, 1, None, facts)
    state = TransferState(batch_date=DAY, revision=1, state="published", chunks=len(facts), lines=rows, sha256=sha256)
    started = time.perf_counter()
    async with unit_of_work(pool, service="report-builder", consumer="benchmark", clock=SystemClock()) as uow:
        await service.published(uow, state)
    spent += time.perf_counter() - started
    await pool.close()
    print(f"loaded and verified {rows:,} lines in {spent:.1f} s ({rows / spent:,.0f} lines/s)\n")
    return sha256


async def ours(database: DatabaseSettings, sha256: str, kind: str, name: str, folder: Path) -> tuple[float, float, int]:
    """Seconds, peak MiB and size of one render in a process of its own."""
    order = Order(
        wanted=Wanted(secrets.token_hex(4), kind, name, DAY, DAY, ORGANISATIONS.get(kind), "en"),  # type: ignore[arg-type]
        batches=(PinnedBatch(DAY, 1, sha256),),
        missing=(),
        completeness={},
        dsn=database.dsn,
        password=database.secret(),
        store_url=folder.as_uri(),
        store_options={},
    )
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "report_builder.reports.render",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    process.stdin.write(order.to_line())
    watched, peak = psutil.Process(process.pid), 0

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, watched.memory_info().rss)
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    outcome: dict[str, Any] = {}
    async for line in process.stdout:
        outcome = json.loads(line)
    seconds = time.perf_counter() - started
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await process.wait()
    part = outcome["done"]["parts"][0]
    return seconds, peak / 2**20, part["size"]


async def peer_rows(database: DatabaseSettings, count: int) -> list[list[Any]]:
    """The same rows for the peers, ready in memory."""
    connection = await asyncpg.connect(database.dsn, password=database.secret())
    rows = await connection.fetch(
        "SELECT l.batch_date, l.customer_id, o.name AS customer_name, l.service, l.plan_type, l.unit, l.object_id,"
        " l.description, l.name, l.stock_code, l.unit_code, l.quantity, l.sales_price, l.total, l.currency, l.kind,"
        " l.flags FROM batch_line l JOIN batch_organisation o ON o.id = l.customer_id"
        " ORDER BY l.sequence, l.position LIMIT $1",
        count,
    )
    await connection.close()
    return [list(row) for row in rows]


def with_openpyxl(rows: list[list[Any]], path: Path) -> float:
    """Seconds to write the rows with openpyxl, write-only."""
    started = time.perf_counter()
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(list(SCRIPT_LINES.header))
    for row in rows:
        sheet.append(row)
    book.save(path)
    return time.perf_counter() - started


def with_xlwt(rows: list[list[Any]], path: Path) -> float:
    """Seconds to write the rows with xlwt."""
    started = time.perf_counter()
    book = xlwt.Workbook(encoding="utf-8")
    dates = xlwt.easyxf(num_format_str="yyyy-mm-dd")
    sheet = None
    for number, row in enumerate(rows):
        index = number % 65_535
        if index == 0:
            sheet = book.add_sheet(f"Lines {number}")
            for column, name in enumerate(SCRIPT_LINES.header):
                sheet.write(0, column, name)
        sheet.write(index + 1, 0, row[0], dates)
        for column, value in enumerate(row[1:], start=1):
            sheet.write(index + 1, column, value)
    book.save(str(path))
    return time.perf_counter() - started


async def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peer-rows", type=int, default=60_000, help="the peers' rates do not depend on it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", default="customer-detail", help="the kind of report that is made of the lines")
    options = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in ("openpyxl", "xlwt", *TARGETS)}
    peaks: dict[str, float] = {}
    sizes: dict[str, int] = {}
    async with postgres() as database:
        sha256 = await load(database, options.rows)
        rows = await peer_rows(database, min(options.peer_rows, options.rows))
        with tempfile.TemporaryDirectory(prefix="tallyport-bench-") as name:
            folder = Path(name)
            for _ in range(options.rounds):
                for extension, peer in (("xlsx", with_openpyxl), ("xls", with_xlwt)):
                    seconds = peer(rows, folder / f"peer.{extension}")
                    rates["openpyxl" if extension == "xlsx" else "xlwt"].append(len(rows) / seconds)
                for form in TARGETS:
                    seconds, peak, sizes[form] = await ours(database, sha256, options.kind, form, folder)
                    rates[form].append(options.rows / seconds)
                    peaks[form] = max(peak, peaks.get(form, 0))
    show(rates, peaks, sizes)


def show(rates: dict[str, list[float]], peaks: dict[str, float], sizes: dict[str, int]) -> None:
    """The table."""
    medians = {name: statistics.median(found) for name, found in rates.items()}
    print(f"{'':10} {'rows/s':>10} {'ratio':>8} {'target':>8} {'peak MiB':>9} {'MB':>7}")
    for peer in ("openpyxl", "xlwt"):
        print(f"{peer:10} {medians[peer]:10,.0f}")
    missed = []
    for form, (peer, target) in TARGETS.items():
        ratio = medians[form] / medians[peer]
        print(
            f"{form:10} {medians[form]:10,.0f} {ratio:7.1f}x {target:7}x {peaks[form]:9.0f} {sizes[form] / 1e6:7.1f}"
            f"   to {peer}"
        )
        if ratio < target or peaks[form] > MAX_PEAK_MIB:
            missed.append(form)
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    asyncio.run(main())
