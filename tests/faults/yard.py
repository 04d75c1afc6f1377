"""A whole stack under test, and the verbs of the fault scenarios.

Each scenario bills customers of its own, under ids that begin with its name, so scenarios share a stack in any order.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from tallyport.contracts.directory import DIRECTORY_TYPE
from tallyport.contracts.usage import UsageChunk
from tallyport.messaging.envelope import Envelope, new_event_id
from tallyport.messaging.kafka import producer
from tallyport.money import line_total
from tallyport.testing.waiting import until
from tallyport_local.stack import Stack

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
USERS_PER_CUSTOMER = 50
PRICE = Decimal("0.0015")
PATIENCE_SECONDS = 240


@dataclass(frozen=True)
class Sample:
    """One measured value."""

    object_id: str
    counter: str
    day: date
    value: str


@dataclass
class Yard:
    """The stack with a client for its HTTP interfaces and a producer."""

    stack: Stack
    http: httpx.AsyncClient
    client: AIOKafkaProducer

    # ---- saying things

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: str,
        type_: str,
        event_id: str | None = None,
        client: AIOKafkaProducer | None = None,
        source: str = "/faults",
    ) -> Any:
        """Hand one record to a producer; await the answer for the acknowledgement."""
        envelope = Envelope(event_id or new_event_id(), source, type_, datetime.now(UTC))
        return await (client or self.client).send(
            self.stack.kafka.topic(topic), key=key.encode(), value=value, headers=list(envelope.headers())
        )

    async def provider(self, name: str, users: int, counters: Sequence[str]) -> list[str]:
        """A provider ``name`` with customers of 50 users each, billed by ``counters``; the users' object ids."""
        objects = [f"{name}-user-{i:05}" for i in range(users)]
        entities: list[dict[str, Any]] = [
            {"kind": "organisation", "id": name, "type": "service_provider", "name": name, "currency": "EUR"}
        ]
        for start in range(0, users, USERS_PER_CUSTOMER):
            customer = f"{name}-customer-{start // USERS_PER_CUSTOMER:03}"
            instance = f"{customer}-instance"
            entities += [
                {"kind": "organisation", "id": customer, "type": "customer", "parent": name, "name": customer},
                {"kind": "service_instance", "id": instance, "customer": customer, "service": name,
                 "status": "Provisioned"},
            ]  # fmt: skip
            entities += [
                {"kind": "subscription", "id": one, "instance": instance, "plan": f"{name}-plan",
                 "status": "Provisioned", "user": {"upn": f"{one}@example.org", "name": one}}
                for one in objects[start : start + USERS_PER_CUSTOMER]
            ]  # fmt: skip
        acknowledged = [
            await self.send(
                "directory.changes", json.dumps(e).encode(), key=f"{e['kind']}:{e['id']}", type_=DIRECTORY_TYPE
            )
            for e in entities
        ]
        await asyncio.gather(*acknowledged)
        await self._catalog(name, counters)
        await self.caught_up("billing-engine")
        return objects

    async def _catalog(self, name: str, counters: Sequence[str]) -> None:
        plan = {"id": f"{name}-plan", "type": "user_plan", "name": "Plan", "currency": "EUR",
                "properties": {"price_per_mb": str(PRICE)}}  # fmt: skip
        units = [
            {"id": f"by-{counter}", "plan_type": "user_plan", "unit": "user", "quantity": {"counter": counter},
             "price": "price_per_mb"}
            for counter in counters
        ]  # fmt: skip
        named = [{"name": counter, "unit": "MB", "aggregation": "last"} for counter in counters]
        service = {"id": name, "name": name, "counters": named, "plans": [plan], "billing_units": units}
        url = self.stack.url("billing-engine")
        await self.call("PUT", f"{url}/v1/catalog", json={"services": [service]})
        await self.call("POST", f"{url}/v1/services/{name}/schema/publish", json={"reason": "test"})

    async def produce(
        self, samples: Sequence[Sample], *, seed: int, client: AIOKafkaProducer, source: str, acknowledge: bool = True
    ) -> None:
        """Produce every sample once, in an order and in chunks that ``seed`` decides."""
        chance = random.Random(seed)  # noqa: S311 - shuffling, not secrets
        groups: dict[tuple[str, date], list[Sample]] = {}
        for sample in samples:
            groups.setdefault((sample.counter, sample.day), []).append(sample)
        chunks: list[list[Sample]] = []
        for group in groups.values():
            chance.shuffle(group)
            while group:
                size = chance.randint(1, 1000)
                chunks.append(group[:size])
                del group[:size]
        chance.shuffle(chunks)
        answers = []
        for chunk in chunks:
            data = UsageChunk.model_validate(
                {
                    "counter": chunk[0].counter,
                    "day": chunk[0].day,
                    "measured_at": datetime.combine(chunk[0].day, time(12), UTC),
                    "object_ids": [one.object_id for one in chunk],
                    "values": [one.value for one in chunk],
                }
            )
            event_id = hashlib.sha256(data.write()).hexdigest()
            answers.append(
                await self.send(
                    "usage.samples",
                    data.write(),
                    key=event_id,
                    type_=UsageChunk.TYPE,
                    event_id=event_id,
                    client=client,
                    source=source,
                )
            )
        if acknowledge:
            await asyncio.gather(*answers)

    # ---- asking

    async def call(self, method: str, url: str, **options: Any) -> Any:
        """An HTTP call that succeeds; its JSON."""
        response = await self.http.request(method, url, **options)
        assert response.is_success, f"{method} {url}: {response.status_code} {response.text}"
        return response.json()

    async def caught_up(self, *services: str) -> None:
        """Wait until the services have applied everything and published everything."""

        async def done() -> bool:
            for service in services:
                try:
                    status = await self.call("GET", f"{self.stack.url(service)}/v1/status")
                except (httpx.HTTPError, AssertionError):
                    return False
                if any(one["lag"] != 0 for one in status["consumers"]) or (status["outbox"] or {"depth": 1})["depth"]:
                    return False
            return True

        await until(done, seconds=PATIENCE_SECONDS, what=f"{services} to catch up")

    async def fetch(self, database: str, query: str, *values: Any) -> list[asyncpg.Record]:
        """Look into a service's database, as the administrator."""
        dsn = self.stack.admin_dsn.rpartition("/")[0] + f"/{database}"
        connection = await asyncpg.connect(dsn, password=self.stack.admin_password)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *values)
            return rows
        finally:
            await connection.close()

    async def usage(self, name: str) -> list[tuple[str, str, date, str]]:
        """Every sample the engine has of a scenario's objects."""
        rows = await self.fetch(
            "billing_engine",
            "SELECT b.id, c.name, s.day, s.value::text FROM usage_sample s JOIN counter c USING (counter_no) "
            "JOIN billable_object b USING (object_no) WHERE starts_with(b.id, $1) ORDER BY 1, 2, 3",
            f"{name}-",
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    async def transfer(self) -> dict[str, Any]:
        """Begin a new revision of today's batch, and wait for green."""
        url = f"{self.stack.url('billing-engine')}/v1/transfers"
        begun = await self.call("POST", url, json={})
        return await self.green(begun["batch_date"])

    async def green(self, batch_date: str) -> dict[str, Any]:
        """Wait for the light of a date to be green."""
        url = f"{self.stack.url('billing-engine')}/v1/transfers/{batch_date}"
        seen: dict[str, Any] = {}

        async def light() -> bool:
            try:
                seen.update(await self.call("GET", url))
            except (httpx.HTTPError, AssertionError):
                return False
            assert seen["light"] != "red", seen
            return bool(seen["light"] == "green")

        await until(light, seconds=PATIENCE_SECONDS, what=f"the light of {batch_date}")
        return seen

    async def report(self, report_format: str = "csv", organisation: str | None = None) -> dict[str, Any]:
        """Request today's customer detail and wait until it is ready."""
        url = f"{self.stack.url('report-builder')}/v1/reports"
        wanted = {"kind": "customer-detail", "format": report_format, "from_date": str(TODAY), "to_date": str(TODAY),
                  "organisation": organisation}  # fmt: skip
        created = await self.call("POST", url, json={k: v for k, v in wanted.items() if v is not None})
        return await self.ready(created["report_id"])

    async def ready(self, report_id: str) -> dict[str, Any]:
        """Wait until a report is ready."""
        url = f"{self.stack.url('report-builder')}/v1/reports/{report_id}"
        seen: dict[str, Any] = {}

        async def ready() -> bool:
            try:
                seen.update(await self.call("GET", url))
            except (httpx.HTTPError, AssertionError):
                return False
            assert seen["state"] != "failed", seen
            return bool(seen["state"] == "ready")

        await until(ready, seconds=PATIENCE_SECONDS, what=f"report {report_id}")
        return seen

    async def billed(self, name: str) -> list[dict[str, str]]:
        """The lines of a scenario's provider in today's customer detail."""
        report = await self.report(organisation=name)
        url = f"{self.stack.url('report-builder')}/v1/reports/{report['report_id']}/parts/1"
        response = await self.http.get(url)
        assert hashlib.sha256(response.content).hexdigest() == report["parts"][0]["sha256"]
        return list(csv.DictReader(io.StringIO(response.content.decode(), newline="")))

    async def dead_letters(self, topic: str, name: str) -> list[tuple[str, bytes | None]]:
        """Reason and value of the dead letters of ``topic`` whose event source is ``/name``."""
        found: list[tuple[str, bytes | None]] = []
        async with AIOKafkaConsumer(
            self.stack.kafka.topic(f"{topic}.dead-letters"),
            bootstrap_servers=self.stack.kafka.bootstrap_servers,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=16 * 1024 * 1024,
        ) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(partition) < end for partition, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        headers = dict(record.headers)
                        if headers.get("ce_source", b"").decode(errors="replace") == f"/{name}":
                            found.append((headers["dl_reason"].decode(), record.value))
        return found


def expected_total(samples: Sequence[Sample], day: date) -> Decimal:
    """What the samples of ``day`` cost, line by line."""
    totals = [line_total(Decimal(one.value), PRICE, "EUR") for one in samples if one.day == day]
    return sum(totals, Decimal(0))


def make_samples(objects: Sequence[str], counters: Sequence[str], days: int, seed: int) -> list[Sample]:
    """One sample of each object, counter and day, the newest day being yesterday."""
    chance = random.Random(seed)  # noqa: S311 - test data
    return [
        Sample(one, counter, YESTERDAY - timedelta(days=back), f"{chance.randint(0, 99999)}.{chance.randint(0, 99):02}")
        for back in range(days)
        for counter in counters
        for one in objects
    ]


async def kill_at_random(yard: Yard, part: str, times: int, chance: random.Random) -> None:
    """Kill a part of the stack and wait until it is back, ``times`` times."""
    for _ in range(times):
        await asyncio.sleep(chance.uniform(0, 0.7))  # a random moment is what this is about
        await yard.stack.kill(part)
        await yard.stack.wait_ready(part)


def second_producer(yard: Yard) -> AIOKafkaProducer:
    """Another producer, as another collector would have."""
    return producer(yard.stack.kafka, "second", linger_ms=2)
