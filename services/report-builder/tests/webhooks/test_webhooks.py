"""Receivers are told once the report is there, signed as Standard Webhooks says, until they take it or are given up."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
import standardwebhooks
from face import as_, made
from report_builder.webhooks.model import (
    RETRY_SECONDS,
    Webhook,
    WebhookFileError,
    next_try,
    read_webhooks,
)
from report_builder.webhooks.service import Webhooks
from tallyport.access.tokens import Principal, Role
from tallyport.clock import Clock, FixedClock, SystemClock
from tallyport.testing.waiting import until

DAY = date(2026, 11, 21)
SECRET = b"twenty-four bytes or more"
NOW = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)


@dataclass
class Receiver:
    """A real HTTP server that answers as told, and keeps what it was sent."""

    answers: list[str] = field(default_factory=list)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head)}
        body = await reader.readexactly(int(headers["content-length"]))
        answer = self.answers.pop(0) if self.answers else "204 No Content"
        async with self.came:
            self.taken.append((headers, body))
            self.came.notify_all()
        if answer != "silence":
            writer.write(f"HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    async def has(self, number: int) -> None:
        async with asyncio.timeout(30), self.came:
            await self.came.wait_for(lambda: len(self.taken) >= number)

    def webhook(self, name: str = "erp", **changed: Any) -> Webhook:
        wanted = {"events": ("report.ready", "report.failed"), "organisation": None, **changed}
        return Webhook(name=name, url=f"http://127.0.0.1:{self.port}/hook?key=1", secret=SECRET, **wanted)


@asynccontextmanager
async def receiving(*answers: str) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(answers))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    async with server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def loaded(warehouse: Any, make_batch: Any, make_line: Any) -> None:
    batch = make_batch(DAY)
    tree = [("root", None, "service_provider"), ("acme", "root", "customer"), ("bolt", "root", "customer")]
    batch.chunk("organisations", [[one, up, kind, one, None, None, "en", "EUR"] for one, up, kind in tree])
    batch.chunk("lines", [make_line(customer_id="acme")])
    await warehouse.keep(batch)


@pytest_asyncio.fixture(loop_scope="session")
async def empty(loaded: None, pool: asyncpg.Pool[asyncpg.Record]) -> None:  # noqa: ARG001
    await pool.execute("DELETE FROM webhook_delivery")


@pytest.fixture
def telling(empty: None, shown: Any) -> Any:  # noqa: ARG001
    """The service's face with some receivers."""
    operator = Principal("operator", frozenset({Role.PROVIDER_ADMINISTRATOR}))

    def tell(*webhooks: Webhook, clock: Clock | None = None) -> Any:
        return shown(principals=[operator], clock=clock or SystemClock(), webhooks=webhooks)

    return tell


async def report(http: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:
    return await made(http, "operator", **{"from_date": str(DAY), "to_date": str(DAY), **wanted})


async def deliveries(http: httpx.AsyncClient, name: str = "erp") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get(f"/v1/webhooks/{name}/deliveries", headers=as_("operator"))).json()
    return found


async def settled(http: httpx.AsyncClient, states: list[str], name: str = "erp") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    async def all_are() -> bool:
        found[:] = await deliveries(http, name)
        return [one["state"] for one in found] == states

    await until(all_are, seconds=30, what=f"deliveries to {name} that are {states}")
    return found


async def tried(http: httpx.AsyncClient, times: int) -> dict[str, Any]:
    """The only message to the receiver, once so many tries have failed."""
    found: dict[str, Any] = {}
    next_at = NOW + timedelta(seconds=sum(RETRY_SECONDS[:times]))

    async def it_was() -> bool:
        found.update((await deliveries(http))[0])
        return found["attempts"] == times and datetime.fromisoformat(found["next_at"]) == next_at

    await until(it_was, seconds=30, what=f"{times} tries")
    return found


async def test_a_message_is_what_kafka_says_and_an_independent_library_verifies_it(
    telling: Any, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    async with receiving() as receiver, telling(receiver.webhook()) as http:
        ready = await report(http, organisation="acme")
        await receiver.has(1)
        await settled(http, ["delivered"])
    headers, body = receiver.taken[0]
    said = standardwebhooks.Webhook(base64.b64encode(SECRET).decode()).verify(body, headers)
    row = await pool.fetchrow(
        "SELECT value, header_names, header_values FROM outbox WHERE topic = 'reports.ready' AND key = $1",
        ready["report_id"].encode(),
    )
    assert row is not None
    kafka = dict(zip(row["header_names"], row["header_values"], strict=True))
    assert said["type"] == "report.ready"
    assert said["data"] == json.loads(row["value"])
    assert headers["webhook-id"].encode() == kafka["ce_id"]
    assert said["data"]["parts"][0]["sha256"] == ready["parts"][0]["sha256"]
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(base64.b64encode(SECRET).decode()).verify(body + b" ", headers)


async def test_each_receiver_is_told_what_it_wants_and_may_know(telling: Any) -> None:
    async with receiving() as all_, receiving() as failures, receiving() as acme:
        hooks = (
            all_.webhook("everything"),
            failures.webhook("failures", events=("report.failed",)),
            acme.webhook("acme", organisation="acme"),
        )
        async with telling(*hooks) as http:
            first = await report(http, organisation="acme")
            second = await report(http, organisation="bolt")
            third = await report(http, from_date="2020-01-01", to_date="2020-01-01")
            await settled(http, ["delivered"] * 3, "everything")
            await settled(http, ["delivered"], "failures")
            await settled(http, ["delivered"], "acme")
            listed = (await http.get("/v1/webhooks", headers=as_("operator"))).json()

    def told(receiver: Receiver) -> list[str]:
        return [json.loads(body)["data"]["report_id"] for _, body in receiver.taken]

    assert third["state"] == "failed"
    assert sorted(told(all_)) == sorted(one["report_id"] for one in (first, second, third))
    assert told(failures) == [third["report_id"]]
    assert told(acme) == [first["report_id"]]
    assert {one["name"]: one["delivered"] for one in listed} == {"everything": 3, "failures": 1, "acme": 1}
    assert all("key=1" not in one["url"] for one in listed), "what may be secret in a URL is not shown"


async def test_what_is_not_taken_is_tried_again_with_the_same_id_and_bytes(telling: Any) -> None:
    hour = FixedClock(NOW)
    async with (
        receiving("503 Busy", "302 Found", "silence") as receiver,
        telling(receiver.webhook(), clock=hour) as http,
    ):
        await report(http)
        await receiver.has(1)
        for tries in range(1, 4):
            assert (await tried(http, tries))["state"] == "waiting"
            hour.instant += timedelta(seconds=RETRY_SECONDS[tries - 1])
            # The loop sleeps by the real clock; a replay of nothing wakes it.
            body = {"since": "2030-01-01T00:00:00Z"}
            await http.post("/v1/webhooks/erp/replay", json=body, headers=as_("operator"))
            await receiver.has(tries + 1)
        (last,) = await settled(http, ["delivered"])
    assert (last["attempts"], last["status"]) == (4, 204)
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1
    assert len({body for _, body in receiver.taken}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.taken}) == 4, "each try is signed anew"


async def test_a_receiver_that_is_gone_is_given_up_and_a_replay_sends_again(telling: Any) -> None:
    async with receiving("410 Gone") as receiver, telling(receiver.webhook()) as http:
        await report(http)
        (found,) = await settled(http, ["given_up"])
        assert (found["status"], found["error"]) == (410, "the receiver answered 410")
        since = {"since": "2026-01-01T00:00:00Z"}
        replayed = await http.post("/v1/webhooks/erp/replay", json=since, headers=as_("operator"))
        assert replayed.json() == {"messages": 1}
        await settled(http, ["delivered"])
        for only_given_up, messages in ((True, 0), (False, 1)):
            body = {**since, "only_given_up": only_given_up}
            answer = await http.post("/v1/webhooks/erp/replay", json=body, headers=as_("operator"))
            assert answer.json() == {"messages": messages}
        await receiver.has(3)
        assert (await http.get("/v1/webhooks/nobody/deliveries", headers=as_("operator"))).status_code == 404
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1


async def test_one_that_hangs_holds_up_nobody_else(telling: Any) -> None:
    hanging = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hanging.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server, receiving() as receiver:
        port = server.sockets[0].getsockname()[1]
        stuck = Webhook("stuck", f"http://127.0.0.1:{port}/", SECRET, ("report.ready",))
        async with telling(stuck, receiver.webhook()) as http:
            await report(http)
            await receiver.has(1)
            assert [one["state"] for one in await deliveries(http, "stuck")] == ["waiting"]
            hanging.set()


async def test_a_message_whose_sender_died_is_sent_by_another(
    empty: None,  # noqa: ARG001
    pool: asyncpg.Pool[asyncpg.Record],
    units_of_work: Any,
) -> None:
    hour = FixedClock(NOW)
    async with receiving() as receiver:
        hook = receiver.webhook()
        dead = Webhooks([hook], pool=pool, clock=hour, keep_days=90)
        async with units_of_work("test") as uow:
            await dead.tell(uow, "report.ready", "event-1", {"report_id": "r"}, frozenset())
        async with pool.acquire() as connection:
            query = "UPDATE webhook_delivery SET attempts = 1, next_at = $1"
            await connection.execute(query, NOW + timedelta(seconds=60))  # taken, and then it died
        hour.instant += timedelta(seconds=61)
        alive = Webhooks([hook], pool=pool, clock=hour, keep_days=90)
        task = asyncio.create_task(alive.run())
        await receiver.has(1)
        alive.stop()
        await task
    assert receiver.taken[0][0]["webhook-id"] == "event-1"


async def test_a_defect_does_not_end_the_telling(
    empty: None,  # noqa: ARG001
    pool: asyncpg.Pool[asyncpg.Record],
    units_of_work: Any,
) -> None:
    taken = asyncio.Event()
    tried: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tried.append(request.content)
        if len(tried) == 1:
            raise RuntimeError("a defect")
        taken.set()
        return httpx.Response(204)

    hook = Webhook("erp", "http://127.0.0.1:1/", SECRET, ("report.ready",))
    hooks = Webhooks([hook], pool=pool, clock=SystemClock(), keep_days=1, transport=httpx.MockTransport(answer))
    task = asyncio.create_task(hooks.run())
    for number in (1, 2):
        async with units_of_work("test") as uow:
            await hooks.tell(uow, "report.ready", f"event-{number}", {"report_id": str(number)}, frozenset())
    async with asyncio.timeout(30):
        await taken.wait()
    hooks.stop()
    await task
    assert [b'"1"' in tried[0], b'"2"' in tried[-1]] == [True, True]


def test_the_waits_grow_and_end() -> None:
    waits = [next_try(attempts, NOW) for attempts in range(1, len(RETRY_SECONDS) + 2)]
    assert waits[0] == NOW + timedelta(seconds=5)
    assert waits[-1] is None
    assert sorted(RETRY_SECONDS) == list(RETRY_SECONDS)


def written(folder: Path, *entries: Any) -> Path:
    (folder / "secret").write_text(f"whsec_{base64.b64encode(SECRET).decode()}\n", encoding="utf-8")
    (folder / "short").write_text("whsec_c2hvcnQ=", encoding="utf-8")
    file = folder / "webhooks.json"
    file.write_text(json.dumps(entries), encoding="utf-8")
    return file


GOOD = {"name": "erp", "url": "https://erp.example/hook", "secret_file": "secret"}


def test_the_file_says_who_is_told(tmp_path: Path) -> None:
    (found,) = read_webhooks(written(tmp_path, {**GOOD, "events": ["report.ready"], "organisation": "acme"}))
    assert found == Webhook("erp", "https://erp.example/hook", SECRET, ("report.ready",), "acme")
    assert read_webhooks(None) == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "Not A Name"}, r"0\.name: letters"),
        ({"url": "ftp://erp.example"}, r"0\.url: https://host/path"),
        ({"url": "https://user:pw@erp.example"}, r"0\.url: https://host/path is expected, without a user"),
        ({"url": "http://erp.example/"}, r'0\.url: messages go over https; "allow_http": true'),
        ({"secret_file": "nowhere"}, r"0\.secret_file: a file with whsec_ and 24 to 64 bytes"),
        ({"secret_file": "short"}, r"0\.secret_file: a file with whsec_"),
        ({"events": ["report.lost"]}, r"0\.events: some of report\.ready, report\.failed"),
        ({"secret": "x"}, r"0\.secret: there is no such field"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(WebhookFileError, match=words):
        read_webhooks(written(tmp_path, {**GOOD, **changed}))
    assert read_webhooks(written(tmp_path, {**GOOD, "url": "http://127.0.0.1:8/x"}))
    assert read_webhooks(written(tmp_path, {**GOOD, "url": "http://erp.example/", "allow_http": True}))


def test_a_name_is_there_once(tmp_path: Path) -> None:
    with pytest.raises(WebhookFileError, match="the name 'erp' is there more than once"):
        read_webhooks(written(tmp_path, GOOD, GOOD))
