"""Artifacts go out to whom may see the report and to whoever holds a good link; each time is noted."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx
import pytest
import pytest_asyncio
from face import KEY, as_, made
from report_builder.artifacts.service import open_store
from report_builder.downloads.model import ExpiredLinkError, InvalidLinkError, Link, read_link
from report_builder.reports.retention import Retention
from report_builder.settings import LinkSettings, ObjectStoreSettings
from tallyport.access.tokens import Principal, Role
from tallyport.clock import FixedClock
from tallyport_local.testing import ServiceDatabase

DAY = date(2026, 11, 21)
PERIOD = {"from_date": str(DAY), "to_date": str(DAY)}


@pytest.fixture
def hour() -> FixedClock:
    return FixedClock(datetime(2026, 11, 22, 6, 30, tzinfo=UTC))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def loaded(warehouse: Any, make_batch: Any, make_line: Any) -> None:
    batch = make_batch(DAY)
    tree = [("root", None, "service_provider"), ("acme", "root", "customer"), ("bolt", "root", "customer")]
    batch.chunk("organisations", [[one, up, kind, one, None, None, "en", "EUR"] for one, up, kind in tree])
    batch.chunk("lines", [make_line(customer_id="acme"), make_line(customer_id="bolt", object_id="o-2")])
    await warehouse.keep(batch)


@pytest_asyncio.fixture(loop_scope="session")
async def http(loaded: None, shown: Any, hour: FixedClock) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001
    principals = [
        Principal("provider", frozenset({Role.PROVIDER_ADMINISTRATOR})),
        *(Principal(name, frozenset({Role.CUSTOMER_ADMINISTRATOR}), name) for name in ("acme", "bolt")),
    ]
    async with shown(principals=principals, clock=hour) as client:
        yield client


async def linked(http: httpx.AsyncClient, who: str, report: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await http.post(f"/v1/reports/{report['report_id']}/parts/1/link", json=body, headers=as_(who))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_link_gives_the_same_bytes_without_a_token_until_its_time_is_over(
    http: httpx.AsyncClient, hour: FixedClock
) -> None:
    report = await made(http, "acme", **PERIOD)
    link = await linked(http, "acme", report, valid_seconds=60)
    assert datetime.fromisoformat(link["expires_at"]) == hour.now() + timedelta(seconds=60)
    by_token = await http.get(f"/v1/reports/{report['report_id']}/parts/1", headers=as_("acme"))
    by_link = await http.get(link["url"])
    assert by_link.content == by_token.content
    assert hashlib.sha256(by_link.content).hexdigest() == report["parts"][0]["sha256"]
    assert by_link.headers["content-type"] == "text/csv; charset=utf-8"
    assert by_link.headers["content-disposition"].startswith("attachment; ")
    assert by_link.headers["x-content-type-options"] == "nosniff"
    hour.instant += timedelta(seconds=61)
    late = await http.get(link["url"])
    assert (late.status_code, late.headers["content-type"]) == (410, "application/problem+json")


async def test_every_download_is_noted_with_who_and_how(http: httpx.AsyncClient) -> None:
    report = await made(http, "acme", **PERIOD)
    place = f"/v1/reports/{report['report_id']}"
    link = await linked(http, "acme", report)
    await http.get(link["url"])
    await http.get(f"{place}/parts/1", headers=as_("provider"))
    assert (await http.get(f"{place}/parts/2", headers=as_("provider"))).status_code == 404
    assert (await http.get(f"{place}/parts/1", headers=as_("bolt"))).status_code == 404
    noted = (await http.get(f"{place}/downloads", headers=as_("provider"))).json()
    assert [(one["number"], one["by"], one["how"]) for one in noted] == [(1, "provider", "token"), (1, "acme", "link")]
    assert (await http.get(f"{place}/downloads", headers=as_("acme"))).status_code == 403


async def test_what_is_noted_stays(http: httpx.AsyncClient, report_database: ServiceDatabase) -> None:
    report = await made(http, "acme", **PERIOD)
    await http.get(f"/v1/reports/{report['report_id']}/parts/1", headers=as_("acme"))
    owner = await asyncpg.connect(report_database.owner.dsn, password=report_database.owner.secret())
    try:
        for statement in (
            "DELETE FROM report_download",
            "UPDATE report_download SET by = 'x'",
            "TRUNCATE report_download",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="what was noted stays"):
                await owner.execute(statement)
    finally:
        await owner.close()


async def test_a_link_for_another_report_cannot_be_made_of_one(http: httpx.AsyncClient, hour: FixedClock) -> None:
    mine = await made(http, "acme", **PERIOD)
    theirs = await made(http, "bolt", **PERIOD)
    refused = await http.post(f"/v1/reports/{theirs['report_id']}/parts/1/link", json={}, headers=as_("acme"))
    assert refused.status_code == 404
    said, _, mac = str((await linked(http, "acme", mine))["url"]).rpartition("/")[2].partition(".")
    forged = base64.urlsafe_b64encode(json.dumps([theirs["report_id"], 1, "acme", 4102444800]).encode()).decode()
    for text in (f"{forged.rstrip('=')}.{mac}", said, f"{said}.", f".{mac}", f"{said}.{mac}x", "%ff.%00", "a" * 4000):
        answer = await http.get(f"/downloads/{text}")
        assert answer.status_code == 404, text
    with pytest.raises(InvalidLinkError):
        read_link(Link("r", 1, "x", hour.now()).sign(b"another key"), KEY, hour.now())
    with pytest.raises(ExpiredLinkError):
        read_link(Link("r", 1, "x", hour.now()).sign(KEY), KEY, hour.now())


@pytest.mark.parametrize("seconds", [0, -1, 7 * 24 * 3600 + 1])
async def test_links_are_for_a_while(http: httpx.AsyncClient, seconds: int) -> None:
    answer = await http.post("/v1/reports/x/parts/1/link", json={"valid_seconds": seconds}, headers=as_("acme"))
    assert answer.status_code == 422


def test_a_key_is_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("short\n", encoding="utf-8")
    with pytest.raises(ValueError, match="the key has 5 bytes, at least 32 are needed"):
        LinkSettings(key_file=file).key()
    file.write_bytes(KEY + b"\n")
    assert LinkSettings(key_file=file).key() == KEY
    assert len({LinkSettings().key() for _ in range(3)}) == 3


async def test_artifacts_are_let_go_by_kind_and_age_and_nothing_else_goes(
    http: httpx.AsyncClient,
    pool: asyncpg.Pool[asyncpg.Record],
    objects: ObjectStoreSettings,
    hour: FixedClock,
) -> None:
    report = await made(http, "acme", **PERIOD)
    folder = Path(unquote(urlsplit(report["parts"][0]["uri"]).path)).parent

    def retention(days: int | None, **kinds: int) -> Retention:
        later = FixedClock(hour.now() + timedelta(days=100))
        by_kind = {name.replace("_", "-"): found for name, found in kinds.items()}
        return Retention(pool=pool, objects=open_store(objects.url, {}), clock=later, days=days, days_by_kind=by_kind)

    assert await retention(None).let_go() == 0
    assert await retention(101).let_go() == 0
    assert await retention(99, customer_detail=101).let_go() == 0
    assert (folder / "SHA256SUMS").exists()
    assert await retention(None, customer_detail=99).let_go() >= 1
    assert not folder.exists()
    assert await retention(99).let_go() == 0, "what is gone is not counted again"
    gone = await http.get(f"/v1/reports/{report['report_id']}/parts/1", headers=as_("acme"))
    assert gone.status_code == 410
    assert "ask for the report again" in gone.json()["detail"]
    shown = (await http.get(f"/v1/reports/{report['report_id']}", headers=as_("acme"))).json()
    assert (shown["state"], shown["parts"]) == ("ready", report["parts"]), "what it was stays known"
