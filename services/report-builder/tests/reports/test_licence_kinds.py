"""Reports that are made of licences, settings and inventory runs, asked for as people ask for them."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import openpyxl
import pytest
import pytest_asyncio
import xlrd
from face import as_, ask, made
from licences_bench import FIRST, LICENCES, SECOND, THIRD, load
from lxml import etree
from report_builder.documents.xml_document import schema
from report_builder.reports import store
from report_builder.reports.compose import compose, write
from report_builder.settings import ObjectStoreSettings
from report_builder.synchronisation import service as synchronisation
from tallyport.access.tokens import Principal, Role
from tallyport.clock import FixedClock
from tallyport.contracts.collection import CollectionRun
from tallyport.messaging.record import Event, Record

NOW = datetime(2027, 4, 5, 6, 30, tzinfo=UTC)
MONTH = {"from_date": "2027-04-01", "to_date": "2027-04-04"}
GOLDEN = Path(__file__).parent / "golden"
PROVIDER_ONLY = [("subscription-usage", "xlsx"), ("licence-report", "xml"), ("synchronisation", "xml")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def loaded(warehouse: Any, make_batch: Any, make_line: Any, units_of_work: Any) -> None:
    await load(warehouse, make_batch, make_line)
    async with units_of_work("test") as uow:
        await synchronisation.on_runs(uow, [heard("old", "ad"), heard("night", "ex", 3), heard("night", "ad", 3)])


def heard(run_id: str, source: str, hours: int = 0) -> Event[Any]:
    begin = datetime(2027, 4, 4, 1, tzinfo=UTC) + timedelta(hours=hours)
    data = CollectionRun(
        run_id=run_id, source=source, state="partial", started_at=begin, finished_at=begin + timedelta(seconds=90.5),
        samples=0, objects=12, kind="inventory", customers_reached=3, customers_not_reached=["d", "c"],
        customers_not_reached_count=2, failure_count=1,
    )  # fmt: skip
    record = Record("collection.runs", 0, 0, None, b"", (), 0)
    return Event("1", "/collector", CollectionRun.TYPE, begin, None, None, data, record)


@pytest_asyncio.fixture(loop_scope="session")
async def http(loaded: None, shown: Any, clock: FixedClock) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001
    clock.instant = NOW
    principals = [
        Principal("provider", frozenset({Role.PROVIDER_ADMINISTRATOR})),
        Principal("v1", frozenset({Role.RESELLER_ADMINISTRATOR}), "v1"),
        Principal("r2", frozenset({Role.RESELLER_ADMINISTRATOR}), "r2"),
        Principal("c", frozenset({Role.CUSTOMER_ADMINISTRATOR}), "c"),
    ]
    async with shown(principals=principals, clock=clock) as client:
        await put(client, "/v1/licences", {"licences": LICENCES})
        known = (await client.get("/v1/licences/agents/counts", headers=as_("provider"))).json()["manual"]
        if not known:
            await put(client, "/v1/licences/agents/manual-count", {"count": 9, "valid_from": str(SECOND)})
        yield client


async def put(http: httpx.AsyncClient, path: str, body: Any) -> None:
    answer = await http.put(path, json=body, headers={**as_("provider"), "Tallyport-Reason": quote("agreed")})
    assert answer.status_code == 200, answer.text


async def fetched(http: httpx.AsyncClient, kind: str, name: str, who: str = "provider", **wanted: Any) -> bytes:
    report = await made(http, who, kind=kind, format=name, **wanted)
    assert report["state"] == "ready", report["reason"]
    return (await http.get(f"/v1/reports/{report['report_id']}/parts/1", headers=as_(who))).content


def manifest_of(objects: ObjectStoreSettings, report_id: str) -> Any:
    [folder] = Path(unquote(urlsplit(objects.url).path)).rglob(report_id)
    return json.loads((folder / "manifest.json").read_text())


def tree_of(kind: str, raw: bytes) -> etree._Element:
    tree = etree.fromstring(raw, etree.XMLParser(resolve_entities=False, no_network=True))
    schema(kind).assertValid(tree)
    return tree


def table_of(name: str, raw: bytes, sheet: str) -> list[list[Any]]:
    if name == "xls":
        found = xlrd.open_workbook(file_contents=raw).sheet_by_name(sheet)
        return [[cell if cell != "" else None for cell in found.row_values(row)] for row in range(1, found.nrows)]
    return [list(row) for row in openpyxl.load_workbook(io.BytesIO(raw))[sheet].iter_rows(2, values_only=True)]


@pytest.mark.parametrize("name", ["xls", "xlsx"])
async def test_a_months_licences_have_an_end_a_peak_and_an_average(http: httpx.AsyncClient, name: str) -> None:
    rows = {row[1]: row for row in table_of(name, await fetched(http, "subscription-usage", name, **MONTH), "Licences")}
    assert rows["uc-adv"] == [
        "Telephony business licences", "uc-adv", "Advanced <user>", "calculated", 14, None, 14, 15, 13, 3,
    ]  # fmt: skip
    assert rows["uc-given"][4:] == [33, None, 33, 51, 38.33, 3]
    assert rows["agents"][3:] == ["manual", None, 9, 9, 9, 9, 2], "nothing was entered for the first: no data, not 0"
    assert list(rows) == ["uc-adv", "uc-given", "agents", "users", "lines"]
    first = {row[1]: row for row in table_of(name, await fetched(http, "subscription-usage", name,
             from_date=str(FIRST), to_date=str(FIRST)), "Licences")}  # fmt: skip
    assert first["agents"][4:] == [None, None, None, None, None, 0]


async def test_assurance_and_move_to_cloud_come_from_the_core_users_when_switched_on(http: httpx.AsyncClient) -> None:
    off = tree_of("licence-report", await fetched(http, "licence-report", "xml", **MONTH))
    settings = {"assurance": True, "move_to_cloud": True, "counts": "allocated", "valid_from": "2027-04-06"}
    await put(http, "/v1/billing-settings", settings)
    still = tree_of("licence-report", await fetched(http, "licence-report", "xml", **MONTH))
    assert etree.tostring(still) == etree.tostring(off), "settings are those of the report's date"
    assert {one.get("counted") for one in off.iter("{*}licence")} == {"calculated", "manual"}
    until = {**MONTH, "to_date": "2027-04-06"}
    switched = tree_of("licence-report", await fetched(http, "licence-report", "xml", **until))
    assert [
        (one.get("id"), one.get("family"), one.get("count"), one.get("core"))
        for one in switched.iter("{*}licence")
        if one.get("counted") == "derived" or one.get("core") == "true"
    ] == [
        ("uc-adv", "telephony", "33", "true"),
        ("uc-adv", "premium_software_assurance", "33", "false"),
        ("uc-adv", "move_to_cloud", "33", "false"),
    ]


async def test_what_two_reports_say_of_allocations_is_the_same(http: httpx.AsyncClient) -> None:
    for counts in ("allocated", "used"):
        asked = {**MONTH, "counts": counts, "billing_mode": "CAPEX"}
        licences = tree_of("licence-report", await fetched(http, "licence-report", "xml", **asked))
        [licence] = [one for one in licences.iter("{*}licence") if one.get("id") == "uc-adv"]
        snapshot = tree_of("allocation-and-usage", await fetched(http, "allocation-and-usage", "xml", **asked))
        assert snapshot[0].get("billingMode") == "CAPEX"
        bundles = [one for one in snapshot.iter("{*}Bundle") if one.get("plan") == "UC-ADV"]
        [details] = [one for one in snapshot.iter("{*}BundleDetails") if one.get("plan") == "UC-ADV"]
        usage = table_of("xlsx", await fetched(http, "subscription-usage", "xlsx", **asked), "Licences")
        [month_end] = [row[6] for row in usage if row[1] == "uc-adv"]
        popup = 0
        for customer in ("c", "d", "e"):
            answer = await http.get(f"/v1/customers/{customer}/bundles", headers=as_("provider"))
            popup += sum(int(one[counts]) for one in answer.json()["bundles"] if one["plan"] == "UC-ADV")
        figures = {licence.get("count"), details.get("count"), details.get(counts), str(month_end), str(popup),
                   str(sum(Decimal(str(one.get("count"))) for one in bundles))}  # fmt: skip
        assert figures == {{"allocated": "33", "used": "14"}[counts]}
        users = sum(int(str(one.get("users"))) for one in snapshot.iter("{*}CustomerSnapshot"))
        assert str(users) == next(one.get("count") for one in licences.iter("{*}licence") if one.get("id") == "users")


async def test_a_reseller_gets_its_own_part_of_the_snapshot(http: httpx.AsyncClient) -> None:
    raw = await fetched(http, "allocation-and-usage", "xml", "v1", **MONTH)
    tree = tree_of("allocation-and-usage", raw)
    assert [one.get("id") for one in tree.iter("{*}CustomerSnapshot")] == ["c", "d"]
    assert [one.get("id") for one in tree.iter("{*}ResellerSnapshot")] == ["r2"]
    assert tree[0].get("id") == "v1"
    assert not list(tree.iter("{*}ServiceProviderLicenseDetails"))
    assert b"root" not in raw
    [gold] = [one for one in tree.iter("{*}Bundle") if one.get("plan") == "HE-GOLD"]
    assert dict(gold.attrib) == {"service": "HE", "plan": "HE-GOLD", "name": "Gold", "allocated": "7"}
    report = await made(http, "c", kind="allocation-and-usage", format="xml", **MONTH)
    assert report["state"] == "failed"
    assert "is a customer" in report["reason"]


async def test_a_snapshot_has_everybody_once(http: httpx.AsyncClient) -> None:
    tree = tree_of("allocation-and-usage", await fetched(http, "allocation-and-usage", "xml", **MONTH))
    assert sorted(str(one.get("id")) for one in tree.iter("{*}CustomerSnapshot")) == ["c", "d", "e"]
    assert [(one.get("id"), one.get("parent")) for one in tree.iter("{*}ResellerSnapshot")] == [
        ("v1", "root"), ("r2", "v1"),
    ]  # fmt: skip
    [agents] = tree.iter("{*}License")
    assert (agents.get("count"), agents.get("validFrom")) == ("9", str(SECOND))
    assert tree[0].get("time") == str(THIRD)


async def test_an_inventory_run_is_reported_by_name_or_the_last(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/synchronisations", headers=as_("provider"))).json()
    assert [(one["run_id"], one["sources"], one["customers_not_reached"]) for one in listed] == [
        ("night", 2, 4), ("old", 1, 2),
    ]  # fmt: skip
    tree = tree_of("synchronisation", await fetched(http, "synchronisation", "xml"))
    assert (tree.get("run"), tree.get("seconds")) == ("night", "90.5")
    assert [one.get("name") for one in tree.iter("{*}source")] == ["ad", "ex"]
    assert [one.get("customer") for one in tree.iter("{*}not_reached")] == ["c", "d"] * 2
    old = tree_of("synchronisation", await fetched(http, "synchronisation", "xml", run="old"))
    assert old.get("run") == "old"
    sheets = await fetched(http, "synchronisation", "xlsx", run="old")
    cover = [[cell.value for cell in row[:2]] for row in openpyxl.load_workbook(io.BytesIO(sheets))["Cover"]]
    assert cover == [["Synchronisation", ""], ["Run", "old"], ["Started", "2027-04-04T01:00:00Z"],
                     ["Finished", "2027-04-04T01:01:30.500000Z"], ["Seconds", "90.5"]]  # fmt: skip
    rows = table_of("xlsx", sheets, "Sources")
    assert rows == [["old", "ad", "partial", "2027-04-04T01:00:00Z", "2027-04-04T01:01:30.500000Z", 90.5, 12, 3, 2,
                     "c, d", 1]]  # fmt: skip
    nothing = await made(http, "provider", kind="synchronisation", format="xml", run="never")
    assert (nothing["state"], "no inventory run 'never'" in nothing["reason"]) == ("failed", True)


@pytest.mark.parametrize(
    ("what", "wanted"),
    [*((one, {}) for one in PROVIDER_ONLY), (("allocation-and-usage", "xml"), {"counts": "allocated"})],
)
async def test_made_again_after_everything_changed_it_is_the_same_bytes(
    http: httpx.AsyncClient, what: tuple[str, str], wanted: Any, pool: Any, objects: ObjectStoreSettings
) -> None:
    kind, name = what
    period = {} if kind == "synchronisation" else MONTH
    report = await made(http, "provider", kind=kind, format=name, **period, **wanted)
    assert report["state"] == "ready", report["reason"]
    part = f"/v1/reports/{report['report_id']}/parts/1"
    before = (await http.get(part, headers=as_("provider"))).content
    again = await fetched(http, kind, name, **period, **wanted)
    assert again == before
    # A second attempt is made from what was fixed for the first, whatever has changed since.
    await put(http, "/v1/licences", {"licences": [{"id": "new", "name": "New"}]})
    if kind == "licence-report":
        assert await fetched(http, kind, name, **period) != before
    file = io.BytesIO()
    async with pool.acquire() as connection:
        fixed = await store.get(connection, report["report_id"])
        assert fixed is not None
        made_from = (fixed.wanted, fixed.batches, fixed.missing, fixed.completeness)
        async with compose(connection, *made_from, terms=fixed.terms) as composed:
            await write(connection, composed, name, file, lambda _: None)
    assert file.getvalue() == before
    manifest = manifest_of(objects, report["report_id"])
    if kind == "synchronisation":
        assert manifest["run"] == "night"
    else:
        assert (manifest["counts"], manifest["billing_mode"]) == (wanted.get("counts", "used"), "OPEX")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"kind": "subscription-usage", "format": "csv"}, "xls or xlsx"),
        ({"kind": "licence-report", "format": "xlsx"}, "made as xml"),
        ({"kind": "synchronisation", "format": "xls"}, "xlsx or xml"),
        ({"kind": "licence-report", "format": "xml", "organisation": "v1"}, "whole installation"),
        ({"kind": "subscription-usage", "format": "xls", "from_date": "2027-03-31", "to_date": "2027-04-01"},
         "one month"),
        ({"kind": "customer-detail", "counts": "used"}, "counts"),
        ({"kind": "licence-report", "format": "xml", "run": "night"}, "run"),
    ],
)  # fmt: skip
async def test_what_a_kind_cannot_be_is_refused_and_said(http: httpx.AsyncClient, wanted: Any, says: str) -> None:
    answer = await ask(http, "provider", **wanted)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("who", ["v1", "c"])
@pytest.mark.parametrize(("kind", "name"), PROVIDER_ONLY)
async def test_what_is_the_providers_nobody_else_gets(http: httpx.AsyncClient, who: str, kind: str, name: str) -> None:
    assert (await ask(http, who, kind=kind, format=name)).status_code == 403
    for organisation in (who, "root"):
        refused = await ask(http, who, kind=kind, format=name, organisation=organisation)
        assert refused.status_code in (403, 404, 422)
    schedule = {"kind": kind, "format": name, "at": "06:00", "every": "month", "period": "last_month"}
    answer = await http.put(f"/v1/schedules/mine-{who}", json=schedule, headers=as_(who))
    assert answer.status_code == 403, answer.text
    mine = await http.put("/v1/schedules/providers", json=schedule, headers=as_("provider"))
    assert mine.status_code == 200, mine.text
    report = await made(http, "provider", kind=kind, format=name, **({} if kind == "synchronisation" else MONTH))
    assert report["state"] == "ready", report["reason"]
    guessed = f"/v1/reports/{report['report_id']}"
    for path in (guessed, f"{guessed}/parts/1"):
        assert (await http.get(path, headers=as_(who))).status_code == 404, path
    assert (await http.post(f"{guessed}/cancel", headers=as_(who))).status_code == 404
    assert (await http.post(f"{guessed}/parts/1/link", json={}, headers=as_(who))).status_code == 404
    listed = await asyncio.gather(*(http.get(path, headers=as_(who)) for path in ("/v1/reports", "/v1/schedules")))
    assert all(kind not in answer.text for answer in listed)


def test_a_rendering_process_reads_no_library_that_its_report_does_not_need() -> None:
    """Starting is most of what a small report takes."""
    look = "import sys, report_builder.reports.render; print({'babel', 'lxml', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("kind", ["licence-report", "allocation-and-usage", "synchronisation"])
async def test_the_bytes_are_those_that_were_read_by_eye(http: httpx.AsyncClient, kind: str) -> None:
    raw = await fetched(http, kind, "xml", **({} if kind == "synchronisation" else MONTH))
    assert raw == (GOLDEN / f"{kind}.xml").read_bytes()
