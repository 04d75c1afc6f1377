"""What is due is asked for once, by whoever may, after the collectors were heard if that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from face import as_
from report_builder.schedules.service import Schedules
from tallyport.access.tokens import Principal, Role
from tallyport.clock import FixedClock
from tallyport.contracts.collection import CollectionRequest, CollectionRun
from tallyport.messaging.record import Event, Record

NOW = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
DAILY = {"format": "csv", "at": "06:00", "zone": "UTC"}


@pytest.fixture
def hour(clock: FixedClock) -> FixedClock:
    """The clock of everything here, set anew for each test."""
    clock.instant = NOW
    return clock


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def loaded(warehouse: Any, make_batch: Any, make_line: Any) -> None:
    batch = make_batch(date(2026, 11, 21))
    tree = [
        ("root", None, "service_provider"),
        ("north", "root", "value_added_reseller"),
        ("acme", "north", "customer"),
        ("bolt", "root", "customer"),
    ]
    batch.chunk("organisations", [[one, up, kind, one, None, None, "en", "EUR"] for one, up, kind in tree])
    batch.chunk("lines", [make_line(customer_id="acme")])
    await warehouse.keep(batch)


@pytest_asyncio.fixture(loop_scope="session")
async def http(loaded: None, shown: Any, hour: FixedClock, pool: Any) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001
    await pool.execute("UPDATE report_schedule SET active = false")
    await pool.execute("UPDATE collection_source SET heard_at = now() - interval '1 year'")
    principals = [
        Principal("provider", frozenset({Role.PROVIDER_ADMINISTRATOR})),
        Principal("north", frozenset({Role.RESELLER_ADMINISTRATOR}), "north"),
        Principal("acme", frozenset({Role.CUSTOMER_ADMINISTRATOR}), "acme"),
    ]
    async with shown(principals=principals, clock=hour) as client:
        yield client


@pytest.fixture
def schedules(http: httpx.AsyncClient) -> Schedules:
    transport: Any = http._transport  # noqa: SLF001 - the application behind the client
    found: Schedules = transport.app.state.schedules
    return found


async def put(http: httpx.AsyncClient, name: str, who: str = "provider", **body: Any) -> httpx.Response:
    return await http.put(f"/v1/schedules/{name}", json={**DAILY, **body}, headers=as_(who))


async def runs(http: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get(f"/v1/schedules/{name}/runs", headers=as_("provider"))).json()
    return found


async def look(schedules: Schedules) -> None:
    while await schedules.look():
        pass


async def test_a_missed_report_is_asked_for_once_whoever_looks(
    http: httpx.AsyncClient, schedules: Schedules, hour: FixedClock, pool: Any, units_of_work: Any
) -> None:
    made = await put(http, "daily", organisation="acme", language="en")
    assert made.status_code == 200, made.text
    assert made.json()["next_due_at"] == "2026-11-23T06:00:00Z", "nothing is made up for"
    hour.instant += timedelta(days=3)
    another = Schedules(pool=pool, units_of_work=units_of_work, reports=schedules._reports, clock=hour)  # noqa: SLF001
    await asyncio.gather(look(schedules), look(another))
    await asyncio.gather(look(schedules), look(another))
    found = await runs(http, "daily")
    assert [(one["due_at"], one["state"]) for one in found] == [
        (f"2026-11-{day}T06:00:00Z", "requested") for day in (25, 24, 23)
    ]
    for one, day in zip(found, (24, 23, 22), strict=True):
        report = (await http.get(f"/v1/reports/{one['report_id']}", headers=as_("acme"))).json()
        assert (report["from_date"], report["organisation"]) == (f"2026-11-{day}", "acme")
    shown = (await http.get("/v1/schedules/daily", headers=as_("provider"))).json()
    assert shown["next_due_at"] == "2026-11-26T06:00:00Z"


async def test_one_that_rests_or_is_removed_asks_for_nothing(
    http: httpx.AsyncClient, schedules: Schedules, hour: FixedClock
) -> None:
    await put(http, "resting", active=False)
    await put(http, "removed")
    assert (await http.delete("/v1/schedules/removed", headers=as_("provider"))).status_code == 204
    assert (await http.delete("/v1/schedules/removed", headers=as_("provider"))).status_code == 404
    hour.instant += timedelta(days=2)
    await look(schedules)
    assert await runs(http, "resting") == []
    await put(http, "removed")
    assert await runs(http, "removed") == []


async def collected(schedules: Schedules, units_of_work: Any, run_id: str, **sources: Any) -> None:
    record = Record("collection.runs", 0, 0, None, None, (), 0)
    said = [
        CollectionRun(run_id=run_id, source=source, state=state, started_at=NOW, finished_at=NOW, samples=0, objects=0)
        for source, state in sources.items()
    ]
    events = [Event(run_id, "/collector", CollectionRun.TYPE, NOW, None, run_id, run, record) for run in said]
    async with units_of_work("test") as uow:
        await schedules.on_runs(uow, events)


async def outbox(pool: Any, topic: str) -> list[bytes]:
    return [row["value"] for row in await pool.fetch("SELECT value FROM outbox WHERE topic = $1 ORDER BY id", topic)]


async def test_the_collectors_are_asked_and_the_report_follows_when_all_have_answered(
    http: httpx.AsyncClient, schedules: Schedules, hour: FixedClock, units_of_work: Any, pool: Any
) -> None:
    await collected(schedules, units_of_work, "earlier", mail="succeeded", phone="succeeded")
    await put(http, "fresh", synchronise_minutes=30)
    hour.instant += timedelta(days=1)
    await look(schedules)
    (run,) = await runs(http, "fresh")
    assert run["state"] == "synchronising"
    assert CollectionRequest.read((await outbox(pool, "collection.requests"))[-1]).run_id == run["report_id"]
    await collected(schedules, units_of_work, run["report_id"], mail="succeeded")
    await look(schedules)
    assert (await runs(http, "fresh"))[0]["state"] == "synchronising", "one has not answered"
    await collected(schedules, units_of_work, run["report_id"], phone="partial")
    await look(schedules)
    (run,) = await runs(http, "fresh")
    assert (run["state"], run["outcome"]) == ("requested", "sources: 1 read, 1 read in part")
    async with asyncio.timeout(30):
        report: dict[str, Any] = {"state": ""}
        while report["state"] not in {"ready", "failed"}:
            report = (await http.get(f"/v1/reports/{run['report_id']}", headers=as_("provider"))).json()
    assert report["completeness"]["synchronised"] == "sources: 1 read, 1 read in part"


async def test_they_are_not_waited_for_longer_than_the_limit(
    http: httpx.AsyncClient, schedules: Schedules, hour: FixedClock, units_of_work: Any
) -> None:
    await collected(schedules, units_of_work, "earlier", silent="succeeded")
    await put(http, "limited", synchronise_minutes=5)
    hour.instant += timedelta(days=1)
    await look(schedules)
    hour.instant += timedelta(minutes=4)
    await look(schedules)
    assert (await runs(http, "limited"))[0]["state"] == "synchronising"
    hour.instant += timedelta(minutes=1)
    await look(schedules)
    (run,) = await runs(http, "limited")
    assert (run["state"], run["outcome"]) == ("requested", "sources: 1 not heard of in time")


async def test_a_schedule_asks_for_no_more_than_whoever_made_it_may(
    http: httpx.AsyncClient, schedules: Schedules, hour: FixedClock, pool: Any
) -> None:
    assert (await put(http, "north-mine", "north")).status_code == 200
    assert (await put(http, "north-acme", "north", organisation="acme")).status_code == 200
    for who, organisation in (("north", "bolt"), ("north", "root"), ("acme", "north")):
        assert (await put(http, "too-much", who, organisation=organisation)).status_code == 404
    assert (await put(http, "north-mine", "acme")).status_code == 409
    for who in ("north", "acme"):
        listed = (await http.get("/v1/schedules", headers=as_(who))).json()
        assert [one["name"] for one in listed] == (["north-acme", "north-mine"] if who == "north" else [])
    for method, place in (("GET", ""), ("GET", "/runs"), ("DELETE", "")):
        answer = await http.request(method, f"/v1/schedules/north-mine{place}", headers=as_("acme"))
        assert answer.status_code == 404
    await put(http, "north-mine", "provider", at="07:00")
    shown = (await http.get("/v1/schedules/north-mine", headers=as_("north"))).json()
    assert (shown["owner"], shown["at"], shown["changed_by"]) == ("north", "07:00:00", "provider")
    hour.instant += timedelta(days=1, hours=1)
    await look(schedules)
    row = await pool.fetchrow("SELECT * FROM report WHERE report_id LIKE 'schedule-north-mine-%'")
    assert (row["organisation"], row["asker_organisation"], row["asked_by"]) == (
        "north",
        "north",
        "schedule north-mine",
    )


async def test_what_was_edited_meanwhile_is_not_overwritten(http: httpx.AsyncClient) -> None:
    first = await put(http, "edited")
    tag = {**as_("provider"), "If-Match": first.headers["etag"]}
    assert (await http.put("/v1/schedules/edited", json={**DAILY, "at": "05:00"}, headers=tag)).status_code == 200
    assert (await http.put("/v1/schedules/edited", json={**DAILY, "at": "04:00"}, headers=tag)).status_code == 412
    assert (await http.delete("/v1/schedules/edited", headers=tag)).status_code == 412
    only_new = {**as_("provider"), "If-None-Match": "*"}
    assert (await http.put("/v1/schedules/edited", json=DAILY, headers=only_new)).status_code == 412


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "horoscope"}, "kind"),
        ({"language": "tlh"}, "language"),
        ({"every": "week", "day": 9}, "day"),
        ({"zone": "Nowhere"}, "zone"),
        ({"every": "hour"}, "every"),
        ({"at": "25:00"}, "at"),
        ({"synchronise_minutes": 0}, "synchronise_minutes"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_what_is_wrong_is_named(http: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    answer = await put(http, "wrong", **body)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert (await http.get("/v1/schedules/wrong", headers=as_("provider"))).status_code == 404
