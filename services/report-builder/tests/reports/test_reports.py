from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import openpyxl
import psutil
import pytest
import pytest_asyncio
import xlrd
from lxml import etree
from report_builder.documents.xml_document import schema
from report_builder.reports import store
from report_builder.reports.model import Asker, RefusedRequestError, RepeatedRequestError, Report
from report_builder.reports.service import ReportService
from report_builder.reports.worker import ReportWorker
from report_builder.settings import ObjectStoreSettings
from report_builder.webhooks.service import Webhooks
from tallyport.clock import Clock
from tallyport.contracts.reports import ReportFailed, ReportReady, ReportRequest
from tallyport_local.testing import ServiceDatabase

FRIDAY, SATURDAY, SUNDAY = date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 22)
WAIT_SECONDS = 30
PROVIDER = Asker("operator")


def organisations() -> list[list[str | None]]:
    rows = [
        ("root", None, "service_provider"),
        ("var-1", "root", "value_added_reseller"),
        ("var-2", "var-1", "value_added_reseller"),
        ("c-1", "var-2", "customer"),
        ("c-2", "root", "customer"),
    ]
    return [[key, parent, kind, f'Name, "{key}"', None, None, "en", "EUR"] for key, parent, kind in rows]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def loaded(warehouse: Any, make_batch: Any, make_line: Any) -> dict[date, Any]:
    batches = {}
    for day in (FRIDAY, SATURDAY):
        batch = make_batch(day)
        batch.chunk("organisations", organisations())
        batch.chunk(
            "lines",
            [
                make_line(customer_id="c-2", object_id="o-9", currency="JPY", total="3"),
                make_line(object_id="o-2", sales_price=None, total="0.00", flags="no_data no_price"),
                make_line(description='two\nlines, and a "quote"'),
            ],
        )
        await warehouse.keep(batch)
        batches[day] = batch
    return batches


@pytest.fixture
def new_worker(
    pool: asyncpg.Pool[asyncpg.Record],
    units_of_work: Any,
    report_database: ServiceDatabase,
    objects: ObjectStoreSettings,
    clock: Clock,
) -> Callable[[], ReportWorker]:
    """Another service process would have a worker of its own."""

    def make() -> ReportWorker:
        service = ReportService(
            pool,
            units_of_work,
            on_request=lambda: worker.wake(),  # noqa: PLW0108 - made below
            webhooks=Webhooks((), pool=pool, clock=clock, keep_days=1),
        )
        worker = ReportWorker(
            pool=pool, service=service, database=report_database.runtime, objects=objects, max_attempts=3
        )
        return worker

    return make


@pytest.fixture
def worker(new_worker: Callable[[], ReportWorker]) -> ReportWorker:
    return new_worker()


@pytest.fixture
def service(worker: ReportWorker) -> ReportService:
    return worker._service  # noqa: SLF001


async def ask(service: ReportService, units_of_work: Any, clock: Any, *, asker: Asker = PROVIDER, **wanted: Any) -> str:
    request = ReportRequest(**{"report_id": f"r-{wanted.get('format', 'csv')}", "format": "csv", **wanted})
    async with units_of_work("api") as uow:
        await service.request(uow, request, asked_at=clock.now(), asker=asker)
    return request.report_id


async def finished(service: ReportService, report_id: str) -> Report:
    async with asyncio.timeout(WAIT_SECONDS):
        while (report := await service.get(report_id)).state not in ("ready", "failed"):  # noqa: ASYNC110 - in a database
            await asyncio.sleep(0.02)
    return report


async def made(worker: ReportWorker, service: ReportService, report_id: str) -> Report:
    task = asyncio.create_task(worker.run())
    try:
        return await finished(service, report_id)
    finally:
        worker.stop()
        await task


def renders() -> list[psutil.Process]:
    """The rendering processes of this very process."""
    return [process for process in psutil.Process().children() if "report_builder.reports.render" in process.cmdline()]


def content(report: Report) -> bytes:
    return Path(unquote(urlsplit(report.parts[0].uri).path)).read_bytes()


async def events(pool: asyncpg.Pool[asyncpg.Record], topic: str, report_id: str) -> list[bytes]:
    rows = await pool.fetch("SELECT value FROM outbox WHERE topic = $1 AND key = $2", topic, report_id.encode())
    return [row["value"] for row in rows]


@pytest.mark.usefixtures("loaded")
async def test_a_csv_is_made_kept_and_announced(
    *, worker: ReportWorker, service: ReportService, units_of_work: Any, clock: Any, pool: Any, loaded: Any
) -> None:
    report_id = await ask(service, units_of_work, clock, report_id="first", from_date=FRIDAY)
    report = await made(worker, service, report_id)
    assert (report.state, report.reason) == ("ready", None)
    rows = list(csv.DictReader(io.StringIO(content(report).decode(), newline="")))
    assert [(row["customer_id"], row["object_id"]) for row in rows] == [("c-1", "o-1"), ("c-1", "o-2"), ("c-2", "o-9")]
    assert rows[0]["description"] == 'two\nlines, and a "quote"'
    assert rows[0]["customer_name"] == 'Name, "c-1"'
    assert rows[0]["quantity"] == "1024.50"
    assert (rows[1]["sales_price"], rows[1]["flags"]) == ("", "no_data no_price")
    assert content(report).endswith(b"\r\n")
    [value] = await events(pool, "reports.ready", report_id)
    ready = ReportReady.read(value)
    assert (ready.parts[0].size, ready.parts[0].rows) == (len(content(report)), 3)
    assert {code: str(total) for code, total in ready.totals.items()} == {"EUR": "1.54", "JPY": "3"}
    assert ready.batches[0].sha256 == loaded[FRIDAY].sha256
    assert ready.completeness["dates_missing"] == []
    folder = Path(unquote(urlsplit(report.parts[0].uri).path)).parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "SHA256SUMS", "customer-detail_2026-11-20_2026-11-20.completeness.csv",
        "customer-detail_2026-11-20_2026-11-20.csv", "manifest.json",
    ]  # fmt: skip
    assert not list((folder.parents[4] / ".staging").iterdir())


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("name", ["csv", "xml", "xls", "xlsx"])
async def test_every_format_holds_the_lines_of_the_period(
    *, worker: ReportWorker, service: ReportService, units_of_work: Any, clock: Any, name: str
) -> None:
    wanted = {"format": name, "from_date": FRIDAY, "to_date": SUNDAY, "organisation": "var-1"}
    report = await made(worker, service, await ask(service, units_of_work, clock, report_id=f"scope-{name}", **wanted))
    assert (report.state, report.reason) == ("ready", None)
    assert report.missing == (SUNDAY,)
    assert report.completeness["dates_missing"] == ["2026-11-22"]
    raw = content(report)
    objects = ["o-1", "o-2", "o-1", "o-2"]
    if name == "csv":
        assert [row["object_id"] for row in csv.DictReader(io.StringIO(raw.decode(), newline=""))] == objects
    elif name == "xml":
        tree = etree.fromstring(raw, etree.XMLParser(resolve_entities=False, no_network=True))
        schema("customer-detail").assertValid(tree)
        assert [element.get("object_id") for element in tree.iter("{*}line")] == objects
    elif name == "xls":
        sheet = xlrd.open_workbook(file_contents=raw).sheet_by_name("Lines")
        assert sheet.col_values(6, 1) == objects
    else:
        sheet = openpyxl.load_workbook(io.BytesIO(raw))["Lines"]
        assert [row[6] for row in sheet.iter_rows(2, values_only=True)] == objects
    assert report.totals == {"EUR": Decimal("3.08")}


@pytest.mark.usefixtures("loaded")
async def test_a_repeated_request_makes_one_report(service: ReportService, units_of_work: Any, clock: Any) -> None:
    await ask(service, units_of_work, clock, report_id="twice")
    await ask(service, units_of_work, clock, report_id="twice")
    assert (await service.get("twice")).wanted.from_date == SATURDAY, "the default is yesterday"
    with pytest.raises(RepeatedRequestError):
        await ask(service, units_of_work, clock, report_id="twice", format="xml")


async def test_what_can_never_be_made_is_refused(service: ReportService, units_of_work: Any, clock: Any) -> None:
    with pytest.raises(RefusedRequestError, match="kind"):
        await ask(service, units_of_work, clock, report_id="bad", kind="horoscope")
    with pytest.raises(RefusedRequestError, match="language: 'tlh' is not one of de, en, es, fr"):
        await ask(service, units_of_work, clock, report_id="bad", language="tlh")
    with pytest.raises(RefusedRequestError, match="organisation: a reseller-detail is about one organisation"):
        await ask(service, units_of_work, clock, report_id="bad", kind="reseller-detail")
    with pytest.raises(RefusedRequestError, match="400 days"):
        await ask(
            service, units_of_work, clock, report_id="bad", from_date=FRIDAY - timedelta(days=400), to_date=FRIDAY
        )


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"from_date": date(2020, 1, 1)}, "no batch of 2020-01-01 is in the warehouse; run the transfer"),
        ({"organisation": "nobody", "from_date": FRIDAY}, "organisation 'nobody' is in none of the batches"),
    ],
)
async def test_a_report_that_cannot_be_made_says_what_to_do(
    *, worker: ReportWorker, service: ReportService, units_of_work: Any, clock: Any, pool: Any, wanted: Any, reason: str
) -> None:
    report_id = await ask(service, units_of_work, clock, report_id=f"impossible-{len(wanted)}", **wanted)
    report = await made(worker, service, report_id)
    assert report.state == "failed"
    assert (report.reason or "").startswith(reason)
    [value] = await events(pool, "reports.failed", report_id)
    assert ReportFailed.read(value).reason == report.reason


@pytest.mark.usefixtures("loaded")
async def test_a_crash_after_the_put_is_recovered_with_the_revisions_it_began_with(
    *,
    worker: ReportWorker,
    service: ReportService,
    units_of_work: Any,
    clock: Any,
    warehouse: Any,
    loaded: Any,
    new_worker: Any,
    report_database: ServiceDatabase,
) -> None:
    report_id = await ask(service, units_of_work, clock, report_id="crashed", from_date=SATURDAY)
    first = await made(worker, service, report_id)
    # As if the service had died between the put and the commit, and a new revision had been loaded since.
    owner = await asyncpg.connect(report_database.owner.dsn, password=report_database.owner.secret())
    await owner.execute("DELETE FROM report_part WHERE report_id = $1", report_id)
    await owner.execute("UPDATE report SET state = 'rendering', finished_at = NULL WHERE report_id = $1", report_id)
    await owner.close()
    second = type(loaded[SATURDAY])(SATURDAY, revision=2)
    second.chunk("organisations", organisations())
    await warehouse.keep(second)
    again = await made(new_worker(), service, report_id)
    assert (again.state, again.parts, again.batches) == ("ready", first.parts, first.batches)
    assert [batch.revision for batch in again.batches] == [1]


@pytest.mark.usefixtures("loaded")
async def test_other_content_under_the_key_is_never_overwritten(
    *, worker: ReportWorker, service: ReportService, units_of_work: Any, clock: Any, objects: ObjectStoreSettings
) -> None:
    folder = Path(unquote(urlsplit(objects.url).path)) / "customer-detail/2026/11/2026-11-20/taken"
    folder.mkdir(parents=True)
    (folder / "customer-detail_2026-11-20_2026-11-20.csv").write_bytes(b"somebody was here")
    report_id = await ask(service, units_of_work, clock, report_id="taken", from_date=FRIDAY)
    report = await made(worker, service, report_id)
    assert report.state == "failed"
    assert "nothing was overwritten" in (report.reason or "")
    assert (folder / "customer-detail_2026-11-20_2026-11-20.csv").read_bytes() == b"somebody was here"


@pytest.mark.usefixtures("loaded")
async def test_a_killed_render_is_taken_up_again(
    *, worker: ReportWorker, service: ReportService, units_of_work: Any, clock: Any, pool: Any
) -> None:
    report_id = await ask(service, units_of_work, clock, report_id="killed", format="xlsx", from_date=FRIDAY)
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(WAIT_SECONDS):
        while not renders():  # noqa: ASYNC110 - processes tell nobody that they began
            await asyncio.sleep(0.005)
        renders()[0].kill()
        report = await finished(service, report_id)
    worker.stop()
    await task
    assert report.state == "ready"
    assert report.attempts == 2
    assert len(await events(pool, "reports.ready", report_id)) == 1


@pytest.mark.usefixtures("loaded")
async def test_a_lock_keeps_others_away(service: ReportService, units_of_work: Any, clock: Any, pool: Any) -> None:
    await ask(service, units_of_work, clock, report_id="locked", from_date=FRIDAY)
    async with pool.acquire() as one, pool.acquire() as two:
        taken = await store.take_next(one, set())
        assert taken is not None
        assert await store.take_next(two, set()) != taken
        await store.give_back(one, taken)
        assert await store.take_next(two, set()) == taken


@pytest.mark.usefixtures("loaded")
async def test_a_summary_says_what_it_was_compared_with(
    *, worker: ReportWorker, service: ReportService, units_of_work: Any, clock: Any, pool: Any, loaded: Any
) -> None:
    wanted = {"kind": "billing-summary", "format": "xlsx", "from_date": SATURDAY, "language": "de"}
    report = await made(worker, service, await ask(service, units_of_work, clock, report_id="compared", **wanted))
    assert (report.state, report.reason) == ("ready", None)
    [value] = await events(pool, "reports.ready", "compared")
    ready = ReportReady.read(value)
    assert (ready.kind, ready.language) == ("billing-summary", "de")
    assert ready.batches[0].sha256 == loaded[FRIDAY].sha256
    assert [one.batch_date for one in ready.batches] == [FRIDAY, SATURDAY]
    assert (ready.completeness["dates_expected"], ready.completeness["2026-11-20.sources_missing"]) == (1, [])
    book = openpyxl.load_workbook(io.BytesIO(content(report)))
    assert book.sheetnames == ["Deckblatt", "Diagramme", "Übersicht", "Vollständigkeit"]
    last_period = [cell.value for cell in book["Übersicht"]["F"][1:]]
    assert last_period == [1.54, 3]


@pytest.mark.usefixtures("loaded")
async def test_what_a_csv_cannot_say_stands_beside_it(
    *, worker: ReportWorker, service: ReportService, units_of_work: Any, clock: Any
) -> None:
    wanted = {"kind": "reseller-detail", "format": "csv", "from_date": FRIDAY, "organisation": "var-1"}
    report = await made(worker, service, await ask(service, units_of_work, clock, report_id="beside", **wanted))
    assert (report.state, report.reason) == ("ready", None)
    assert len(report.parts) == 1, "a reader of parts gets rows and nothing else"
    folder = Path(unquote(urlsplit(report.parts[0].uri).path)).parent
    name = "reseller-detail_2026-11-20_2026-11-20_var-1"
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert [one["name"] for one in files] == [f"{name}.csv", f"{name}.completeness.csv"]
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    for one in files:
        raw = (folder / one["name"]).read_bytes()
        assert (len(raw), hashlib.sha256(raw).hexdigest()) == (one["size"], one["sha256"])
        assert sums[one["name"]] == one["sha256"]
    facts = (folder / f"{name}.completeness.csv").read_text()
    assert "2026-11-20,sources_missing,none" in facts.splitlines()
