"""The gate: how long a decision takes over Kafka and HTTP, and whether many open questions make answers slower."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from harness import PASSWORD, Servers, make_database, median, run, say, servers
from notifier.app import migrations
from tallyport.contracts.actions import ActionRequest
from tallyport.contracts.catalog import BillingUnit, PlanChanged, SchemaPublished
from tallyport.contracts.directory import DIRECTORY_TYPE
from tallyport.messaging.envelope import Envelope, new_event_id
from tallyport.messaging.kafka import producer
from tallyport.testing.waiting import until
from tallyport_local.state import choose_port

TOKEN = "bench"  # noqa: S105 - of a service that lives as long as the run
ACTOR = {"id": "asker", "role": "customer_administrator"}
CUSTOMERS = 50
P50_TIMES, P99_TIMES, HTTP_TIMES, OPEN_TIMES = 2.0, 3.0, 3.0, 1.5
FEW, MANY, ANSWERS = 10, 10_000, 200


@dataclass
class Bench:
    """A notifier in a process of its own, beside a producer and an HTTP client."""

    servers: Servers
    client: AIOKafkaProducer
    http: httpx.AsyncClient

    async def send(self, topic: str, value: bytes, *, key: str, type_: str) -> Any:
        """One record; await the answer for the acknowledgement."""
        envelope = Envelope(new_event_id(), "/bench", type_, datetime.now(UTC))
        return await self.client.send(
            self.servers.kafka.topic(topic), key=key.encode(), value=value, headers=list(envelope.headers())
        )

    async def tell(self) -> None:
        """A provider with customers who are asked, and a plan with a price."""
        root = {"kind": "organisation", "id": "sp", "type": "service_provider", "name": "SP", "currency": "EUR"}
        below = [
            {"kind": "organisation", "id": f"c{n}", "type": "customer", "parent": "sp", "name": f"C{n}",
             "imported": True}
            for n in range(CUSTOMERS)
        ]  # fmt: skip
        for one in (root, *below):
            key = f"organisation:{one['id']}"
            await self.send("directory.changes", json.dumps(one).encode(), key=key, type_=DIRECTORY_TYPE)
        plan = PlanChanged(
            id="GOLD", service="T", type="user_plan", name="Gold", currency="EUR", properties={"sales_price": "4.50"}
        )
        unit = BillingUnit(id="user", plan_type="user_plan", unit="user")
        schema = SchemaPublished(service="T", version=1, units=[unit])
        for key, data in (("plan:GOLD", plan), ("service_schema:T", schema)):
            await self.send("catalog.changes", data.write(), key=key, type_=data.TYPE)
        await self.caught_up()
        answer = await self.http.put("/v1/settings/actions/create_user", json={"ticked": True})
        answer.raise_for_status()

    async def caught_up(self) -> None:
        """Wait until everything is applied and published."""

        async def done() -> bool:
            status = (await self.http.get("/v1/status")).json()
            return all(one["lag"] == 0 for one in status["consumers"]) and not status["outbox"]["depth"]

        await self.client.flush()
        await until(done, seconds=120, what="the notifier to catch up")


def _request(name: str, number: int, *, action: str = "create_group") -> ActionRequest:
    return ActionRequest.model_validate(
        {"id": f"{name}-{number}", "action": action, "customer": f"c{number % CUSTOMERS}", "actor": ACTOR,
         "items": [{"plan": "GOLD", "quantity_delta": "1"}]}
    )  # fmt: skip


@asynccontextmanager
async def _process(*arguments: str, env: dict[str, str] | None = None) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=os.environ | (env or {}), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _bench(found: Servers, folder: Path) -> AsyncIterator[Bench]:
    await make_database(found, "notifier", migrations())
    tokens, port = folder / "tokens.json", choose_port("notifier", {})
    roles = ["provider_administrator", "provider_advanced_administrator"]
    tokens.write_text(
        json.dumps([{"name": "bench", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "roles": roles}])
    )
    env = {
        "TALLYPORT_KAFKA__BOOTSTRAP_SERVERS": found.kafka.bootstrap_servers,
        "TALLYPORT_KAFKA__TOPIC_PREFIX": found.kafka.topic_prefix,
        "TALLYPORT_DATABASE__DSN": f"postgresql://notifier@{found.postgres}/notifier",
        "TALLYPORT_DATABASE__PASSWORD": PASSWORD,
        "TALLYPORT_HTTP__PORT": str(port),
        "TALLYPORT_HTTP__TOKENS_FILE": str(tokens),
        "TALLYPORT_LOG__LEVEL": "warning",
    }
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    async with (
        _process("-m", "notifier", "serve", env=env),
        producer(found.kafka, "bench", linger_ms=0) as client,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as http,
    ):

        async def ready() -> bool:
            try:
                return (await http.get("/health/ready")).is_success
            except httpx.HTTPError:
                return False

        await until(ready, seconds=60, what="the notifier to be ready")
        yield Bench(found, client, http)


async def _latencies(bench: Bench, name: str, source: str, target: str, rate: int, seconds: int) -> list[float]:
    """Seconds from producing a record to consuming what came of it, at an even rate; the first second warms up."""
    sent: dict[str, float] = {}
    took: dict[str, float] = {}
    total = rate * (seconds + 1)
    async with AIOKafkaConsumer(
        bench.servers.kafka.topic(target),
        bootstrap_servers=bench.servers.kafka.bootstrap_servers,
        auto_offset_reset="latest",
    ) as consumer:
        await consumer.seek_to_end()

        async def listen() -> None:
            while len(took) < total + 1:  # and the probe
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    now = time.perf_counter()
                    for record in records:
                        said = json.loads(record.value)
                        key = str(said.get("request_id") or said["id"])
                        if key in sent:
                            took.setdefault(key, now - sent[key])

        listening = asyncio.create_task(listen())
        # Who gives back has to be there first: joining a group takes seconds, and is nobody's latency.
        probe = _request(f"{name}-probe", 0)
        sent[probe.id] = time.perf_counter()
        await bench.send(source, probe.write(), key=probe.customer, type_=ActionRequest.TYPE)

        async def there() -> bool:
            return probe.id in took

        await until(there, seconds=60, what="the probe to come back")
        begin = time.perf_counter()
        for number in range(total):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            request = _request(name, number)
            sent[request.id] = time.perf_counter()
            await bench.send(source, request.write(), key=request.customer, type_=ActionRequest.TYPE)
        async with asyncio.timeout(60):
            await listening
    return [took[f"{name}-{number}"] for number in range(rate, total)]


async def _http(call: Callable[[int], Awaitable[httpx.Response]], count: int, at_once: int = 4) -> list[float]:
    took: list[float] = []

    async def one_after_the_other(first: int) -> None:
        for number in range(first, count, at_once):
            begin = time.perf_counter()
            (await call(number)).raise_for_status()
            took.append(time.perf_counter() - begin)

    await asyncio.gather(*(one_after_the_other(first) for first in range(at_once)))
    return took


async def _answering(bench: Bench, name: str, opened: int) -> float:
    """Milliseconds of one answer, in the middle, while ``opened`` questions are open."""
    for number in range(opened):
        request = _request(name, number, action="create_user")
        await bench.send("billable-actions.requested", request.write(), key=request.customer, type_=ActionRequest.TYPE)
    await bench.caught_up()
    took = []
    for number in range(ANSWERS):
        request = _request(f"{name}-answered", number, action="create_user")
        asked = await bench.http.post("/v1/billable-actions", content=request.write())
        path = f"/v1/confirmations/{asked.json()['confirmation_id']}/answer"
        begin = time.perf_counter()
        (await bench.http.post(path, json={"answer": "confirm"})).raise_for_status()
        took.append(time.perf_counter() - begin)
    return 1000 * median(took)


def _percentile(values: list[float], part: float) -> float:
    return 1000 * sorted(values)[min(len(values) - 1, int(part * len(values)))]


def _row(name: str, base: float, gate: float, limit: float) -> bool:
    print(f"{name:<44}{base:>10.2f}{gate:>10.2f}{gate / base:>8.2f} x  at most {limit:.1f} x")
    return gate <= limit * base


async def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=int, default=500)
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--calls", type=int, default=1000)
    chosen = options.parse_args()
    echoes: list[list[float]] = []
    decisions: list[list[float]] = []
    async with servers() as found:
        with tempfile.TemporaryDirectory(prefix="tallyport-bench-") as name:
            echo = (str(Path(__file__).with_name("gate_echo.py")), found.kafka.bootstrap_servers,
                    found.kafka.topic_prefix, "usage.samples", "billing.quantities")  # fmt: skip
            async with _bench(found, Path(name)) as bench:
                await bench.tell()
                for number in range(chosen.runs):
                    say(f"run {number + 1} of {chosen.runs}")
                    async with _process(*echo):
                        lanes = ("usage.samples", "billing.quantities")
                        echoes.append(await _latencies(bench, f"e{number}", *lanes, chosen.rate, chosen.seconds))
                    lanes = ("billable-actions.requested", "billable-actions.decided")
                    decisions.append(await _latencies(bench, f"d{number}", *lanes, chosen.rate, chosen.seconds))
                say("over HTTP")

                async def ask(number: int) -> httpx.Response:
                    return await bench.http.post("/v1/billable-actions", content=_request("http", number).write())

                async def read(number: int) -> httpx.Response:
                    return await bench.http.get(f"/v1/billable-actions/http-{number}")

                asked, looked = await _http(ask, chosen.calls), await _http(read, chosen.calls)
                say("answers")
                few = await _answering(bench, "few", FEW)
                many = await _answering(bench, "many", MANY)
    print(f"{'':<44}{'base ms':>10}{'gate ms':>10}")
    for part, limit in ((0.5, P50_TIMES), (0.99, P99_TIMES)):
        base, gate = (median([_percentile(one, part) for one in some]) for some in (echoes, decisions))
        _row(f"decision over Kafka at {chosen.rate}/s, p{100 * part:.0f}, to an echo", base, gate, limit)
    _row("allowed at once over HTTP, p99, to a read", _percentile(looked, 0.99), _percentile(asked, 0.99), HTTP_TIMES)
    _row(f"an answer with {MANY} open, to {FEW} open", few, many, OPEN_TIMES)


if __name__ == "__main__":
    run(main)
