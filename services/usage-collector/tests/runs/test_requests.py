"""``collection.requests``: asked over Kafka, done once, told over Kafka."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from collector_bench import HEADER, Bench, read_all
from prometheus_client import CollectorRegistry
from tallyport.access.tokens import Principal, Role, TokenStore
from tallyport.clock import SystemClock
from tallyport.contracts.collection import CollectionRequest
from tallyport.messaging.envelope import Envelope, new_event_id
from tallyport.messaging.kafka import producer
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until
from usage_collector.app import application


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(kafka: KafkaSettings, tmp_path_factory: object) -> AsyncIterator[Bench]:
    folder = Path(tmp_path_factory.mktemp("requests"))  # type: ignore[attr-defined]
    bench = Bench(folder / "collector", kafka=kafka, every_seconds=3600, clock=SystemClock())
    async with bench.service.running():
        yield bench
    bench.database.close()


async def _send(client: AIOKafkaProducer, kafka: KafkaSettings, value: bytes, event_id: str) -> None:
    envelope = Envelope(event_id, "/test", CollectionRequest.TYPE, datetime.now(UTC))
    topic = kafka.topic("collection.requests")
    await client.send_and_wait(topic, value=value, key=b"run", headers=list(envelope.headers()))


async def test_a_request_is_done_once_and_told(running: Bench, kafka: KafkaSettings) -> None:
    running.drop("one.csv", HEADER + "a,C,2026-11-21,1\n")
    request = CollectionRequest(run_id="wanted", sources=["files", "of another collector"]).write()
    event_id = new_event_id()
    async with producer(kafka, "test") as client:
        await _send(client, kafka, b"{truncated", new_event_id())
        await _send(client, kafka, request, event_id)
        await _send(client, kafka, request, event_id)

    async def told() -> bool:
        return any(record.key == b"wanted" for record in await read_all(kafka, "collection.runs"))

    await until(told, what="the run to be told")

    async def caught_up() -> bool:
        status = await running.service.status()
        return status["consumers"][0]["lag"] == 0 and status["spool"]["records"] == 0

    await until(caught_up, what="the collector to catch up")
    runs = [json.loads(one.value) for one in await read_all(kafka, "collection.runs") if one.key == b"wanted"]
    assert [(run["state"], run["samples"]) for run in runs] == [("succeeded", 1)]
    assert len(await read_all(kafka, "usage.samples")) == 1
    (dead,) = await read_all(kafka, "collection.requests.dead-letters")
    assert dead.value == b"{truncated"
    assert dict(dead.headers)["dl_offset"] == b"0"


async def test_runs_over_http(running: Bench) -> None:
    everything = Principal("test", frozenset({Role.PROVIDER_ADMINISTRATOR}))
    tokens = TokenStore({"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": everything})
    app = application(running.service, running.database, tokens, CollectorRegistry())
    async with AsyncExitStack() as stack:
        transport = httpx.ASGITransport(app)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://collector"))
        assert (await http.get("/v1/sources")).status_code == 401
        http.headers["authorization"] = "Bearer test"
        assert [one["name"] for one in (await http.get("/v1/sources")).json()] == ["files"]
        refused = await http.post("/v1/runs", json={"sources": ["nothing"]})
        assert refused.status_code == 422
        assert "there is no source 'nothing'" in refused.json()["detail"]
        accepted = await http.post("/v1/runs", json={"sources": ["files"]})
        assert accepted.status_code == 202
        (run_id,) = accepted.json()["run_ids"]

        async def over() -> bool:
            runs = (await http.get("/v1/runs", params={"limit": 5})).json()
            return any(run["run_id"] == run_id and run["state"] == "succeeded" for run in runs)

        await until(over, what="the run to be over")
        status = (await http.get("/v1/status")).json()
        assert status["service"] == "usage-collector"
        assert set(status["spool"]) == {"records", "bytes", "oldest_seconds"}
