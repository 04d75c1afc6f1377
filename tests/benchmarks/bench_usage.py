"""How fast usage goes in, against COPY of the same rows (the limit) and the handler a user would write (the peer).

Every record goes through the real broker and the real database with fsync on. The records of a run are in the topic
before the engine may apply the first; timed is the middle of it, from a fifth to four fifths, so that neither what was
read ahead nor the last poll, which nothing follows, is counted. A lane is a process of its own, as the engine is.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import math
import os
import sys
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from billing_engine.app import migrations
from faststream.kafka import KafkaBroker
from harness import Servers, make_database, median, run, say, servers, timed
from pydantic import BaseModel
from tallyport.contracts.usage import UsageChunk
from tallyport.messaging.envelope import Envelope, inbox_id, new_event_id
from tallyport.messaging.kafka import admin, producer
from tallyport.postgres.pool import open_pool
from tallyport.settings import DatabaseSettings
from tallyport.testing.waiting import until

DIRECTORY = """
INSERT INTO organisation (id, type, name, source_partition, source_offset)
SELECT 'customer-' || to_char(i, 'FM000000'), 'customer', 'Customer ' || i, 0, 0 FROM generate_series(1, $1::int) i
"""
OBJECTS = """
INSERT INTO billable_object (customer_no, id, kind)
SELECT 1 + i / 50, 'object-' || to_char(i, 'FM0000000'), 'subscription' FROM generate_series(0, $1::int - 1) i
"""


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
    begun = datetime.combine(day, clock_time(12), UTC)
    for start in range(0, samples, per_chunk):
        # Samples sent one by one were measured one by one: no two of them share their time.
        measured_at = begun + timedelta(milliseconds=start)
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
    begun = datetime.combine(day, clock_time(12), UTC)
    times = (begun + timedelta(milliseconds=i) for i in range(rows))
    return "".join(
        f"{day},{1 + i // 50},{1 + i},1,{time},{i % 20_000}.{i % 100:02},{time},1\n" for i, time in enumerate(times)
    ).encode()


def _inbox_csv(rows: int) -> bytes:
    return "".join(f"1,{inbox_id(new_event_id())},\\x{i:064x}\n" for i in range(rows)).encode()


class Engine:
    """Lanes of usage ingest in processes of their own, which share the topic's partitions."""

    def __init__(self, found: Servers, database: DatabaseSettings) -> None:
        self._found = found
        self._database = database
        self._lanes: list[asyncio.subprocess.Process] = []
        self._telling: list[asyncio.Task[None]] = []
        self._commits: asyncio.Queue[tuple[float, int]] = asyncio.Queue()

    async def run(self, lanes: int) -> None:
        """Have so many lanes, and wait until they have divided the partitions among them."""
        while len(self._lanes) < lanes:
            lane = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("usage_lane.py")),
                self._found.kafka.bootstrap_servers,
                self._found.kafka.topic_prefix,
                self._database.dsn,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            self._lanes.append(lane)
            self._telling.append(asyncio.create_task(self._listen(lane)))
            self._tell(lane, self._database.secret() or "")
        client = admin(self._found.kafka, "bench")
        await client.start()
        group = self._found.kafka.topic("billing-engine.usage")
        await until(lambda: _members(client, group, lanes), seconds=60, what="the lanes to have partitions")
        await client.close()

    def _tell(self, lane: asyncio.subprocess.Process, line: str) -> None:
        assert lane.stdin is not None
        lane.stdin.write(f"{line}\n".encode())

    async def _listen(self, lane: asyncio.subprocess.Process) -> None:
        assert lane.stdout is not None
        async for line in lane.stdout:
            at, records = line.split()
            self._commits.put_nowait((float(at), int(records)))

    def hold(self) -> None:
        """Let nothing be applied."""
        for lane in self._lanes:
            self._tell(lane, "hold")

    async def rate(self, records: int) -> float:
        """Let go, and wait until so many records are committed: records a second in the middle of them."""
        for lane in self._lanes:
            self._tell(lane, "go")
        commits: list[tuple[float, int]] = []
        async with asyncio.timeout(300):
            while sum(count for _, count in commits) < records:
                commits.append(await self._commits.get())
        commits.sort()
        done = list(itertools.accumulate(count for _, count in commits))
        first = next(i for i, count in enumerate(done) if count >= records * 0.2)
        last = max(first, next(i for i, count in enumerate(done) if count >= records * 0.8))
        seconds = commits[last][0] - commits[first][0]
        return (done[last] - done[first]) / seconds if seconds else math.nan

    async def stop(self) -> None:
        """End the lanes."""
        for lane in self._lanes:
            assert lane.stdin is not None
            lane.stdin.close()
            await lane.wait()
        await asyncio.gather(*self._telling)
        self._lanes.clear()
        self._telling.clear()


async def _members(client: AIOKafkaAdminClient, group: str, lanes: int) -> bool:
    """Whether so many members share the group's partitions."""
    try:
        found = (await client.describe_consumer_groups([group]))[0].to_object()["groups"][0]
    except GroupCoordinatorNotAvailableError:
        return False
    return bool(found["state"] == "Stable" and len(found["members"]) == lanes)


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

    async def ours(self, engine: Engine, samples: int, per_chunk: int) -> float:
        """Samples a second through Kafka and the engine."""
        day = await self.next_day()
        engine.hold()
        await _produce(self.client, self.found.kafka.topic("usage.samples"), day, samples, per_chunk, self.objects)
        rate = await engine.rate(-(-samples // per_chunk)) * per_chunk
        async with self.pool.acquire() as connection:
            stored = await connection.fetchval("SELECT count(*) FROM usage_sample WHERE day = $1", day)
        assert stored == samples, f"{stored} of {samples} samples are there"
        return rate

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
        """Samples a second by the handler one would write first: validate, insert, commit, message by message.

        FastStream is left as it comes, its two lines of log a message included; they go nowhere.
        """
        day = await self.next_day()
        logger = logging.getLogger("naive")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.handlers = [logging.FileHandler(os.devnull)]
        broker = KafkaBroker(self.found.kafka.bootstrap_servers, logger=logger)
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
    owner = await found.admin("billing_engine")
    await owner.execute("VACUUM ANALYZE")
    await owner.close()
    engine = Engine(found, database)
    async with producer(found.kafka, "bench", linger_ms=5) as client:
        lanes = Lanes(found, pool, client, chosen.objects)
        figures: dict[str, list[float]] = {}

        def note(name: str, rate: float) -> None:
            figures.setdefault(name, []).append(rate)

        try:
            for number in range(chosen.runs):
                say(f"run {number + 1} of {chosen.runs}")
                await engine.run(1)
                note("chunks", await lanes.ours(engine, chosen.samples, 1000))
                note("copy", await lanes.copy(chosen.samples, with_inbox=False))
                note("singles", await lanes.ours(engine, chosen.singles, 1))
                note("copy_inbox", await lanes.copy(chosen.singles, with_inbox=True))
                await engine.run(2)
                note("chunks_2", await lanes.ours(engine, chosen.samples, 1000))
                note("singles_2", await lanes.ours(engine, chosen.singles, 1))
                await engine.stop()
                note("naive", await lanes.naive(chosen.naive))
        finally:
            await engine.stop()
    await pool.close()
    _print({name: median(values) for name, values in figures.items()})


def _print(rate: dict[str, float]) -> None:
    def ours(title: str, name: str, limit: str, wanted: str, against_naive: str) -> None:
        print(f"{title:<44}{rate[name]:>12,.0f}{rate[name] / rate[limit]:>9.2f} x   {wanted}")
        print(f"{'  against the naive handler':<56}{rate[name] / rate['naive']:>9.0f} x   {against_naive}")

    print("usage, Kafka to durable rows".ljust(46) + "samples/s     ratio   wanted")
    print(f"{'COPY of resolved rows, the limit':<44}{rate['copy']:>12,.0f}")
    ours("chunks of 1,000, one lane", "chunks", "copy", "0.6", "300")
    ours("chunks of 1,000, two lanes", "chunks_2", "copy", "0.6", "300")
    print(f"{'COPY of inbox and resolved rows, the limit':<44}{rate['copy_inbox']:>12,.0f}")
    ours("single samples, one lane", "singles", "copy_inbox", "0.35", "70")
    ours("single samples, two lanes", "singles_2", "copy_inbox", "0.35", "70")
    print(f"{'naive handler, message by message':<44}{rate['naive']:>12,.0f}")


if __name__ == "__main__":
    run(main)
