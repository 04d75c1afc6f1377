"""Licences, counts entered by hand, billing settings and bundles, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
import pytest_asyncio
from face import as_
from licences_bench import FIRST, LICENCES, THIRD, load
from tallyport.access.tokens import Principal, Role
from tallyport.clock import FixedClock

NOW = datetime(2027, 4, 10, 6, 30, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def loaded(warehouse: Any, make_batch: Any, make_line: Any) -> None:
    await load(warehouse, make_batch, make_line)


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
        yield client


async def put(http: httpx.AsyncClient, path: str, body: Any, why: str = "as agreed", **headers: str) -> httpx.Response:
    said = {"Tallyport-Reason": quote(why)} if why else {}
    return await http.put(path, json=body, headers={**as_("provider"), **said, **headers})


async def get(http: httpx.AsyncClient, path: str, who: str = "provider", **query: Any) -> Any:
    answer = await http.get(path, params=query, headers=as_(who))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_licences_are_one_document_that_nobody_replaces_unseen(http: httpx.AsyncClient) -> None:
    before = await http.get("/v1/licences", headers=as_("provider"))
    written = await put(http, "/v1/licences", {"licences": LICENCES}, **{"If-Match": before.headers["etag"]})
    assert written.status_code == 200, written.text
    again = await http.get("/v1/licences", headers=as_("provider"))
    assert again.headers["etag"] == written.headers["etag"] != before.headers["etag"]
    assert [one["id"] for one in again.json()["licences"]] == [one["id"] for one in LICENCES]
    late = await put(http, "/v1/licences", {"licences": []}, **{"If-Match": before.headers["etag"]})
    assert late.status_code == 412


@pytest.mark.parametrize(
    "fault",
    [
        {"licences": [LICENCES[0], LICENCES[0]]},
        {"licences": [{"id": "x", "name": "X", "family": "toys"}]},
        {"licences": [{"id": "x", "name": "X", "rule": {"count": "guesses"}}]},
        {"licences": [{"id": "x", "name": "X", "rule": {"count": "allocations", "unit": "u"}}]},
        {"licences": [{"id": "x", "name": "X", "rule": {"count": "lines", "status": ["Maybe"]}}]},
        {"licences": [{"id": "x", "name": "X\x00"}]},
        {"licences": [{"id": "x", "name": "X", "rule": {"count": "users", "plans": "a\x00"}}]},
    ],
    ids=["twice", "family", "rule", "field of another rule", "status", "control", "pattern"],
)
async def test_what_no_licence_can_be_is_refused(http: httpx.AsyncClient, fault: Any) -> None:
    assert (await put(http, "/v1/licences", fault)).status_code == 422


@pytest.mark.parametrize(
    ("licence", "day", "count"),
    [
        ("uc-adv", FIRST, "10"), ("uc-adv", THIRD, "14"), ("uc-adv", None, "14"), ("uc-adv", date(2027, 4, 3), None),
        ("uc-given", FIRST, "31"), ("users", FIRST, "2"), ("lines", FIRST, "1"),
    ],
)  # fmt: skip
async def test_rules_count_what_a_batch_froze(http: httpx.AsyncClient, licence: str, day: Any, count: Any) -> None:
    await put(http, "/v1/licences", {"licences": LICENCES})
    found = await get(http, f"/v1/licences/{licence}/counts", **({"date": str(day)} if day else {}))
    assert (found["source"], found["calculated"]) == ("calculated", count)


async def test_a_count_by_hand_says_who_when_and_why_and_never_changes_the_past(
    http: httpx.AsyncClient, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    await put(http, "/v1/licences", {"licences": LICENCES})
    place = "/v1/licences/agents/manual-count"
    assert (await put(http, place, {"count": 5}, why="")).status_code == 422, "nobody says why"
    first = await put(http, place, {"count": 5, "valid_from": "2027-04-02"}, why="the first, fürs Archiv")
    assert first.status_code == 200, first.text
    refused = await put(http, place, {"count": 6, "valid_from": "2027-04-05"})
    assert refused.status_code == 422
    assert "the past keeps it" in refused.json()["detail"]
    assert (await put(http, place, {"count": 7})).status_code == 200
    assert (await put(http, place, {"count": 8})).status_code == 200, "today is not over"
    found = await get(http, "/v1/licences/agents/counts")
    assert [(one["count"], one["valid_from"]) for one in found["manual"]] == [
        (5, "2027-04-02"), (7, "2027-04-10"), (8, "2027-04-10"),
    ]  # fmt: skip
    noted = {name: found["manual"][0][name] for name in ("noted_by", "reason", "noted_at")}
    assert noted == {"noted_by": "provider", "reason": "the first, fürs Archiv", "noted_at": "2027-04-10T06:30:00Z"}
    assert (await put(http, "/v1/licences/uc-adv/manual-count", {"count": 1})).status_code == 422, "it is calculated"
    assert (await put(http, "/v1/licences/nothing/manual-count", {"count": 1})).status_code == 404
    for statement in (
        "UPDATE licence_manual_count SET count = 1",
        "DELETE FROM licence_manual_count",
        "DELETE FROM licence_document",
        "TRUNCATE billing_settings",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_settings_are_dated_and_the_past_keeps_its_own(http: httpx.AsyncClient) -> None:
    before = await http.get("/v1/billing-settings", headers=as_("provider"))
    assert (before.json()["counts"], before.json()["noted_by"]) == ("used", None)
    wanted = {"licence_model": "perpetual", "counts": "allocated", "billing_mode": "CAPEX", "assurance": True,
              "move_to_cloud": False}  # fmt: skip
    written = await put(http, "/v1/billing-settings", wanted, **{"If-Match": before.headers["etag"]})
    assert written.status_code == 200, written.text
    assert (await put(http, "/v1/billing-settings", wanted, **{"If-Match": before.headers["etag"]})).status_code == 412
    now, then = [await get(http, "/v1/billing-settings", date=day) for day in ("2027-04-10", "2027-04-09")]
    assert {name: now[name] for name in wanted} == wanted
    assert (now["valid_from"], now["noted_by"], now["reason"]) == ("2027-04-10", "provider", "as agreed")
    assert then["counts"] == "used"
    late = await put(http, "/v1/billing-settings", {**wanted, "valid_from": "2027-04-09"})
    assert late.status_code == 200, "nobody had said anything of that day"
    assert (await put(http, "/v1/billing-settings", {**wanted, "valid_from": "2027-04-09"})).status_code == 422


@pytest.mark.parametrize("who", ["v1", "r2", "c"])
async def test_nobody_but_the_provider_comes_near(http: httpx.AsyncClient, who: str) -> None:
    for method, path in (
        ("GET", "/v1/licences"), ("PUT", "/v1/licences"), ("GET", "/v1/licences/uc-adv/counts"),
        ("PUT", "/v1/licences/agents/manual-count"), ("GET", "/v1/billing-settings"), ("PUT", "/v1/billing-settings"),
        ("GET", "/v1/synchronisations"),
    ):  # fmt: skip
        answer = await http.request(method, path, json={}, headers=as_(who))
        assert answer.status_code == 403, f"{method} {path}"


@pytest.mark.parametrize(
    ("who", "sees"),
    [("provider", "cder2v1"), ("v1", "cdr2v1"), ("r2", "dr2"), ("c", "c")],
)
async def test_bundles_are_shown_to_those_above_only(http: httpx.AsyncClient, who: str, sees: str) -> None:
    for customer in ("c", "d", "e", "r2", "v1"):
        answer = await http.get(f"/v1/customers/{customer}/bundles", headers=as_(who))
        assert answer.status_code == (200 if customer in sees else 404), customer


async def test_bundles_are_those_of_the_date(http: httpx.AsyncClient) -> None:
    found = await get(http, "/v1/customers/c/bundles", "c", date=str(FIRST))
    assert (found["batch_date"], found["name"]) == ("2027-04-01", "Name <c>")
    assert [(one["plan"], one["allocated"], one["used"]) for one in found["bundles"]] == [
        ("HE-GOLD", "7", None), ("UC-ADV", "10", "4"),
    ]  # fmt: skip
    assert (await get(http, "/v1/customers/c/bundles", "c"))["batch_date"] == str(THIRD)
    assert (await get(http, "/v1/customers/v1/bundles", "v1"))["bundles"] == []
    answer = await http.get("/v1/customers/c/bundles?date=2027-04-03", headers=as_("provider"))
    assert answer.status_code == 404
