"""How fast usage goes in, against COPY of the same rows (the limit) and the handler a user would write (the peer).

Every record goes through the real broker and the real database with fsync on. A run of ours is timed from the moment
the first poll reaches the engine to the commit of the last; the records are in the topic by then.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer
from billing_engine.app import migrations
from billing_engine.usage.service import UsageService
from billing_engine.usage.stream import usage_subscription
from faststream.kafka import KafkaBroker
from harness import Servers, make_database, median, run, say, servers, timed
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from tallyport.clock import SystemClock
from tallyport.contracts.usage import UsageChunk
from tallyport.messaging.dispatch import Subscription
from tallyport.messaging.envelope import Envelope, inbox_id, new_event_id
from tallyport.messaging.kafka import producer
from tallyport.messaging.record import Record
from tallyport.messaging.runtime import MessagingRuntime
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.postgres.pool import open_pool

DIRECTORY = """
INSERT INTO organisation (id, type, name, source_partition, source_offset)
SELECT 'customer-' || to_char(i, 'FM000000'), 'customer', 'Customer ' || i, 0, 0 FROM generate_series(1, $1::int) i
"""
OBJECTS = """
INSERT INTO billable_object (customer_no, id, kind)
SELECT 1 + i / 50, 'object-' || to_char(i, 'FM0000000'), 'subscription' FROM generate_series(0, $1::int - 1) i
"""


class Watched:
    """The engine's own processor, with a stopwatch and a count around it."""

    def __init__(self, service: UsageService) -> None:
        self._service = service
        self.expect(0)

    def expect(self, samples: int) -> None:
        """Start anew; done after so many samples."""
        self.wanted = samples
        self.started: float | None = None
        self.seen = 0
        self.done = asyncio.Event()

    async def __call__(self, uow: UnitOfWork, records: Sequence[Record]) -> None:
        """Apply a poll, and note when the last is committed."""
        if self.started is None:
            self.started = time.perf_counter()
        await self._service(uow, records)
        self.seen += len(records)
        if self.seen >= self.wanted:
            uow.after_commit(self.done.set)


class Sample(BaseModel):
    """What the naive handler reads."""

    object_id: str
    counter: str
    day: date
    value: str


def _ids(start: int, count: int, objects: int) -> list[str]:
    return [f"object-{(start + i) % objects:07}" for i in range(count)]


async def _produce(client: AIOKafkaProducer, topic: str, day: date, samples: int, per_chunk: int, objects: int) -> None:
    """Put ``samples`` in the topic, ``per_chunk`` a record."""
    measured_at = datetime.combine(day, clock_time(23), UTC)
    for start in range(0, samples, per_chunk):
        ids = _ids(start, min(per_chunk, samples - start), objects)
        body = {
            "counter": "DiskUsageMB",
            "day": str(day),
            "measured_at": measured_at.isoformat(),
            "object_ids": ids,
            "values": [f"{(start + i) % 20_000}.{i % 100:02}" for i in range(len(ids))],
        }
        headers = list(Envelope(new_event_id(), "/bench", UsageChunk.TYPE, measured_at).headers())
        await client.send(topic, key=ids[0].encode(), value=json.dumps(body).encode(), headers=headers)
    await client.flush()


def _usage_csv(rows: int, day: date) -> bytes:
    measured_at = datetime.combine(day, clock_time(23), UTC)
    return "".join(
        f"{day},{1 + i // 50},{1 + i},1,{measured_at},{i % 20_000}.{i % 100:02},{measured_at},1\n" for i in range(rows)
    ).encode()


def _inbox_csv(rows: int) -> bytes:
    return "".join(f"1,{inbox_id(new_event_id())},\\x{i:064x}\n" for i in range(rows)).encode()


class Lanes:
    """The three ways in, on the same servers."""

    def __init__(
        self, found: Servers, pool: asyncpg.Pool[asyncpg.Record], client: AIOKafkaProducer, objects: int
    ) -> None:
        self.found = found
        self.pool = pool
        self.client = client
        self.objects = objects
        self._day = datetime.now(UTC).date()

    async def next_day(self) -> date:
        """An empty partition: every run writes into one of its own."""
        self._day -= timedelta(days=1)
        async with self.pool.acquire() as connection:
            await connection.execute("SELECT ensure_usage_day($1)", self._day)
        return self._day

    async def ours(self, watched: Watched, samples: int, per_chunk: int) -> float:
        """Samples a second through Kafka and the engine."""
        day = await self.next_day()
        watched.expect(-(-samples // per_chunk))
        await _produce(self.client, self.found.kafka.topic("usage.samples"), day, samples, per_chunk, self.objects)
        async with asyncio.timeout(300):
            await watched.done.wait()
        assert watched.started is not None
        seconds = time.perf_counter() - watched.started
        async with self.pool.acquire() as connection:
            stored = await connection.fetchval("SELECT count(*) FROM usage_sample WHERE day = $1", day)
        assert stored == samples, f"{stored} of {samples} samples are there"
        return samples / seconds

    async def copy(self, rows: int, *, with_inbox: bool) -> float:
        """Rows a second by COPY of what is resolved already, 50,000 a transaction."""
        day = await self.next_day()
        lines = _usage_csv(rows, day).splitlines(keepends=True)
        inbox = _inbox_csv(rows).splitlines(keepends=True) if with_inbox else []
        usage_columns = [
            "day",
            "customer_no",
            "object_no",
            "counter_no",
            "measured_at",
            "value",
            "stated_at",
            "source_id",
        ]

        async def work() -> None:
            async with self.pool.acquire() as connection:
                for start in range(0, rows, 50_000):
                    async with connection.transaction():
                        if with_inbox:
                            await connection.copy_to_table(
                                "inbox",
                                source=_Bytes(b"".join(inbox[start : start + 50_000])),
                                columns=["source_id", "id", "payload_sha256"],
                                format="csv",
                            )
                        await connection.copy_to_table(
                            "usage_sample",
                            source=_Bytes(b"".join(lines[start : start + 50_000])),
                            columns=usage_columns,
                            format="csv",
                        )

        return rows / await timed(work)

    async def naive(self, samples: int) -> float:
        """Samples a second by the handler one would write first: validate, insert, commit, message by message."""
        day = await self.next_day()
        broker = KafkaBroker(self.found.kafka.bootstrap_servers, logger=None)
        seen = 0
        started: list[float] = []
        done = asyncio.Event()

        @broker.subscriber(
            self.found.kafka.topic("reports.requested"), group_id=new_event_id(), auto_offset_reset="latest"
        )
        async def handle(sample: Sample) -> None:
            nonlocal seen
            if not started:
                started.append(time.perf_counter())
            async with self.pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "INSERT INTO usage_sample "
                    "SELECT $1, b.customer_no, b.object_no, 1, now(), $2::text::numeric, now(), 1 "
                    "FROM billable_object b WHERE b.id = $3",
                    sample.day,
                    sample.value,
                    sample.object_id,
                )
            seen += 1
            if seen == samples:
                done.set()

        async with broker:
            await broker.start()
            await asyncio.sleep(2)  # the group has to have its partition before anything is sent
            topic = self.found.kafka.topic("reports.requested")
            for i in range(samples):
                body = {"object_id": f"object-{i:07}", "counter": "DiskUsageMB", "day": str(day), "value": f"{i}.5"}
                await self.client.send(topic, value=json.dumps(body).encode())
            await self.client.flush()
            async with asyncio.timeout(120):
                await done.wait()
            return samples / (time.perf_counter() - started[0])


class _Bytes:
    """What asyncpg reads COPY data from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int) -> bytes:
        """The next bytes."""
        head, self._data = self._data[:size], self._data[size:]
        return head


async def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--objects", type=int, default=1_000_000)
    options.add_argument("--samples", type=int, default=1_000_000)
    options.add_argument("--singles", type=int, default=100_000)
    options.add_argument("--naive", type=int, default=2_000)
    options.add_argument("--runs", type=int, default=5)
    chosen = options.parse_args()
    async with servers() as found:
        await make_database(found, "billing_engine", migrations())
        await _measure(found, chosen)


async def _measure(found: Servers, chosen: Any) -> None:
    database = found.database("billing_engine", "billing_engine")
    pool = await open_pool(database, "bench")
    async with pool.acquire() as connection:
        say(f"a directory of {chosen.objects:,} objects")
        await connection.execute(DIRECTORY, chosen.objects // 50 + 1)
        await connection.execute(OBJECTS, chosen.objects)
    admin = await found.admin("billing_engine")
    await admin.execute("VACUUM ANALYZE")
    await admin.close()
    messaging = MessagingRuntime(
        service="billing-engine",
        kafka=found.kafka,
        database=database,
        pool=pool,
        clock=SystemClock(),
        registry=CollectorRegistry(),
    )
    service = UsageService(pool, messaging.sources)
    watched = Watched(service)
    real = usage_subscription(service)
    messaging.subscribe(
        [
            Subscription(
                real.topic,
                real.group,
                watched,
                max_records=real.max_records,
                fetch_max_bytes=real.fetch_max_bytes,
                fetch_max_wait_ms=real.fetch_max_wait_ms,
            )
        ]
    )
    await service.warm_up()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    async with messaging, producer(found.kafka, "bench", linger_ms=5) as client:
        lanes = Lanes(found, pool, client, chosen.objects)
        await lanes.ours(watched, 10_000, 1000)
        figures: dict[str, list[float]] = {name: [] for name in ("chunks", "copy", "singles", "copy_inbox", "naive")}
        for number in range(chosen.runs):
            say(f"run {number + 1} of {chosen.runs}")
            figures["chunks"].append(await lanes.ours(watched, chosen.samples, 1000))
            figures["copy"].append(await lanes.copy(chosen.samples, with_inbox=False))
            figures["singles"].append(await lanes.ours(watched, chosen.singles, 1))
            figures["copy_inbox"].append(await lanes.copy(chosen.singles, with_inbox=True))
        figures["naive"].append(await lanes.naive(chosen.naive))
    await pool.close()
    rate = {name: median(values) for name, values in figures.items()}
    print("usage, Kafka to durable rows".ljust(46) + "samples/s     ratio   wanted")
    print(f"{'COPY of resolved rows, the limit':<44}{rate['copy']:>12,.0f}")
    print(f"{'chunks of 1,000, one lane':<44}{rate['chunks']:>12,.0f}{rate['chunks'] / rate['copy']:>9.2f} x   0.6")
    print(f"{'  against the naive handler':<56}{rate['chunks'] / rate['naive']:>9.0f} x   300")
    print(f"{'COPY of inbox and resolved rows, the limit':<44}{rate['copy_inbox']:>12,.0f}")
    ratio = rate["singles"] / rate["copy_inbox"]
    print(f"{'single samples, one lane':<44}{rate['singles']:>12,.0f}{ratio:>9.2f} x   0.35")
    print(f"{'  against the naive handler':<56}{rate['singles'] / rate['naive']:>9.0f} x   70")
    print(f"{'naive handler, message by message':<44}{rate['naive']:>12,.0f}")


if __name__ == "__main__":
    run(main)
