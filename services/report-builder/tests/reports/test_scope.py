"""Who may ask for which report, and who sees it: by the tree as each batch froze it."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from face import as_
from face import ask as face_ask
from face import made as face_made
from tallyport.access.tokens import Principal, Role
from tallyport.clock import Clock

MONDAY, TUESDAY = date(2026, 11, 16), date(2026, 11, 17)
RESELLERS = ("north", "south", "south-east")


def organisations(reseller_of_acme: str) -> list[list[str | None]]:
    rows = [
        ("root", None, "service_provider"),
        ("north", "root", "value_added_reseller"),
        ("south", "root", "virtual_service_provider"),
        ("south-east", "south", "value_added_reseller"),
        ("acme", reseller_of_acme, "customer"),
        ("bolt", "south-east", "customer"),
    ]
    return [[key, parent, kind, key.title(), None, None, "en", "EUR"] for key, parent, kind in rows]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def loaded(warehouse: Any, make_batch: Any, make_line: Any) -> None:
    """On Monday acme buys from north, on Tuesday from south-east."""
    previous = None
    for day, reseller in ((MONDAY, "north"), (TUESDAY, "south-east")):
        batch = make_batch(day, previous=previous)
        batch.chunk("organisations", organisations(reseller))
        batch.chunk("lines", [make_line(customer_id="acme"), make_line(customer_id="bolt", object_id="o-2")])
        await warehouse.keep(batch)
        previous = batch


@pytest_asyncio.fixture(loop_scope="session")
async def http(loaded: None, shown: Any, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001
    principals = [
        Principal("provider", frozenset({Role.PROVIDER_ADMINISTRATOR})),
        *(Principal(name, frozenset({Role.RESELLER_VIEWER}), name) for name in RESELLERS),
        *(Principal(name, frozenset({Role.CUSTOMER_ADMINISTRATOR}), name) for name in ("acme", "bolt")),
    ]
    async with shown(principals=principals, clock=clock) as client:
        yield client


async def ask(http: httpx.AsyncClient, who: str, **wanted: Any) -> httpx.Response:
    return await face_ask(http, who, **{"from_date": str(MONDAY), "to_date": str(TUESDAY), **wanted})


async def made(http: httpx.AsyncClient, who: str, **wanted: Any) -> dict[str, Any]:
    return await face_made(http, who, **{"from_date": str(MONDAY), "to_date": str(TUESDAY), **wanted})


async def rows(http: httpx.AsyncClient, who: str, report: dict[str, Any]) -> list[tuple[str, str]]:
    answer = await http.get(f"/v1/reports/{report['report_id']}/parts/1", headers=as_(who))
    answer.raise_for_status()
    return [(row["batch_date"], row["customer_id"]) for row in csv.DictReader(io.StringIO(answer.text, newline=""))]


@pytest.mark.parametrize(
    ("who", "organisation", "seen"),
    [
        ("provider", None, [(MONDAY, "acme"), (MONDAY, "bolt"), (TUESDAY, "acme"), (TUESDAY, "bolt")]),
        ("provider", "acme", [(MONDAY, "acme"), (TUESDAY, "acme")]),
        ("acme", None, [(MONDAY, "acme"), (TUESDAY, "acme")]),
        ("south", None, [(MONDAY, "bolt"), (TUESDAY, "acme"), (TUESDAY, "bolt")]),
        ("south", "acme", [(TUESDAY, "acme")]),
        ("south-east", "acme", [(TUESDAY, "acme")]),
        ("north", None, [(MONDAY, "acme")]),
    ],
)
async def test_rows_are_those_of_the_dates_on_which_they_were_the_askers(
    http: httpx.AsyncClient, who: str, organisation: str | None, seen: list[tuple[date, str]]
) -> None:
    report = await made(http, who, organisation=organisation)
    assert report["state"] == "ready", report["reason"]
    assert await rows(http, who, report) == [(str(day), customer) for day, customer in seen]
    outside = [str(MONDAY)] if organisation == "acme" and who.startswith("south") else None
    assert report["completeness"].get("dates_out_of_scope") == outside


@pytest.mark.parametrize(
    ("who", "organisation"),
    [("north", "acme"), ("north", "bolt"), ("north", "root"), ("south-east", "south"), ("acme", "bolt"), ("acme", "x")],
)
async def test_what_is_not_below_the_asker_now_is_not_there(
    http: httpx.AsyncClient, who: str, organisation: str
) -> None:
    answer = await ask(http, who, organisation=organisation)
    assert answer.status_code == 404
    assert "there is no organisation" in answer.json()["detail"]


async def test_a_report_is_seen_by_those_who_stood_above_it_on_all_its_dates(http: httpx.AsyncClient) -> None:
    both = await made(http, "provider", organisation="acme")
    tuesday = await made(http, "provider", organisation="acme", from_date=str(TUESDAY))
    everybodys = await made(http, "provider")
    sees = {
        "provider": {both["report_id"], tuesday["report_id"], everybodys["report_id"]},
        "acme": {both["report_id"], tuesday["report_id"]},
        "south": {tuesday["report_id"]},
        "south-east": {tuesday["report_id"]},
        "north": set(),
        "bolt": set(),
    }
    for who, seen in sees.items():
        listed = {one["report_id"] for one in (await http.get("/v1/reports?limit=1000", headers=as_(who))).json()}
        for report in (both, tuesday, everybodys):
            there = report["report_id"] in seen
            assert (report["report_id"] in listed) == there, who
            for place in ("", "/parts/1"):
                answer = await http.get(f"/v1/reports/{report['report_id']}{place}", headers=as_(who))
                assert answer.status_code == (200 if there else 404), f"{who} {place}"
            if not there:
                answer = await http.post(f"/v1/reports/{report['report_id']}/cancel", headers=as_(who))
                assert answer.status_code == 404


async def test_a_narrower_report_does_not_name_what_may_be_others(
    http: httpx.AsyncClient, warehouse: Any, make_batch: Any
) -> None:
    day = date(2026, 11, 10)
    batch = make_batch(day)
    batch.chunk("organisations", organisations("north"))
    await warehouse.load(*batch.records)
    facts = {"sources_expected": ["mail", "phone of bolt"], "late_not_billed_days": ["2026-11-01"], "parked_samples": 3}
    await warehouse.publish(batch.published(completeness=facts))
    wanted = {"from_date": str(day), "to_date": str(day)}
    whole = (await made(http, "provider", **wanted))["completeness"]
    narrow = (await made(http, "north", **wanted))["completeness"]
    assert whole[f"{day}.sources_expected"] == ["mail", "phone of bolt"]
    assert narrow[f"{day}.sources_expected"] == 2
    for name in ("late_not_billed_days", "parked_samples"):
        assert whole[f"{day}.{name}"] == narrow[f"{day}.{name}"] == facts[name]


async def test_a_report_id_of_somebody_else_is_taken(http: httpx.AsyncClient) -> None:
    await made(http, "provider", report_id="mine", organisation="acme")
    assert (await ask(http, "acme", report_id="mine", organisation="acme")).status_code == 409


async def test_the_list_goes_on_page_by_page(http: httpx.AsyncClient) -> None:
    for number in range(5):
        await made(http, "bolt", report_id=f"page-{number}")
    everything = (await http.get("/v1/reports?limit=1000", headers=as_("bolt"))).json()
    assert len(everything) >= 5
    seen: list[str] = []
    place: str | None = "/v1/reports?limit=2"
    while place:
        answer = await http.get(place, headers=as_("bolt"))
        seen += [one["report_id"] for one in answer.json()]
        place = answer.links.get("next", {}).get("url")
    assert seen == [one["report_id"] for one in everything]
    assert (await http.get("/v1/reports?after=rubbish", headers=as_("bolt"))).status_code == 422


async def test_a_report_is_cancelled_before_and_while_it_is_made(
    http: httpx.AsyncClient, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    async with pool.acquire() as one:
        # As if another instance rendered it: this one leaves it alone, and it stays open.
        await one.execute("SELECT pg_advisory_lock(hashtext('report_builder.report'), hashtext('unwanted'))")
        assert (await ask(http, "acme", report_id="unwanted")).json()["state"] == "requested"
        cancelled = await http.post(
            "/v1/reports/unwanted/cancel", headers={**as_("acme"), "Tallyport-Reason": "wrong%20month"}
        )
        assert cancelled.status_code == 200
        assert cancelled.json()["state"] == "cancelled"
        assert cancelled.json()["reason"] == "cancelled by acme: wrong month"
        again = await http.post("/v1/reports/unwanted/cancel", headers=as_("acme"))
        assert again.json() == cancelled.json()
        await one.execute("SELECT pg_advisory_unlock_all()")
    rows = await pool.fetch("SELECT topic FROM outbox WHERE key = $1", b"unwanted")
    assert [row["topic"] for row in rows] == ["reports.failed"]
    ready = await made(http, "acme")
    refused = await http.post(f"/v1/reports/{ready['report_id']}/cancel", headers=as_("acme"))
    assert (refused.status_code, refused.json()["title"]) == (409, "The report is finished")


async def test_what_others_asked_for_is_not_ones_to_cancel(http: httpx.AsyncClient, pool: Any) -> None:
    async with pool.acquire() as one:
        await one.execute("SELECT pg_advisory_lock(hashtext('report_builder.report'), hashtext('theirs'))")
        await ask(http, "provider", report_id="theirs", organisation="acme")
        refused = await http.post("/v1/reports/theirs/cancel", headers=as_("acme"))
        assert (refused.status_code, refused.json()["title"]) == (403, "It is not yours")
        assert (await http.get("/v1/reports/theirs", headers=as_("acme"))).json()["state"] == "requested"
        assert (await http.post("/v1/reports/theirs/cancel", headers=as_("provider"))).status_code == 200
        await one.execute("SELECT pg_advisory_unlock_all()")


async def test_a_render_ends_when_its_report_is_cancelled(
    http: httpx.AsyncClient, warehouse: Any, make_batch: Any, make_line: Any
) -> None:
    day = date(2026, 11, 9)
    batch = make_batch(day)
    batch.chunk("organisations", organisations("north"))
    for chunk in range(60):
        batch.chunk("lines", [make_line(customer_id="acme", object_id=f"o-{chunk}-{n}") for n in range(1000)])
    await warehouse.keep(batch)
    wanted = {"report_id": "long", "format": "xls", "from_date": str(day), "to_date": str(day)}
    await ask(http, "acme", **wanted)
    report: dict[str, Any] = {"state": "requested"}
    async with asyncio.timeout(60):
        while report["state"] == "requested" or not report["rows_total"]:
            report = (await http.get("/v1/reports/long", headers=as_("acme"))).json()
        assert report["state"] == "rendering"
        await http.post("/v1/reports/long/cancel", headers=as_("acme"))
        later = await made(http, "acme")
    assert later["state"] == "ready"
    report = (await http.get("/v1/reports/long", headers=as_("acme"))).json()
    assert (report["state"], report["parts"]) == ("cancelled", [])
