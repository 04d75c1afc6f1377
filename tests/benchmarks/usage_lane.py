"""One lane of usage ingest in a process of its own: the engine's consumer, with a stopwatch around it.

Arguments: broker, topic prefix, the database's address. The password comes in the first line of
standard input; after it, ``hold`` makes the lane wait and ``go`` lets it apply what it reads. Each commit is told on
standard output: when, and of how many records.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from billing_engine.usage.service import Reading, UsageService
from billing_engine.usage.stream import usage_subscription
from prometheus_client import CollectorRegistry
from tallyport.clock import SystemClock
from tallyport.messaging.dispatch import Refuse
from tallyport.messaging.record import Record
from tallyport.messaging.runtime import MessagingRuntime
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.postgres.pool import open_pool
from tallyport.settings import DatabaseSettings, KafkaSettings


class Watched:
    """The engine's own processor, with a gate before it, telling of each commit."""

    def __init__(self, service: UsageService) -> None:
        self._service = service
        self.gate = asyncio.Event()

    def read(self, records: Sequence[Record], refuse: Refuse) -> Sequence[Reading]:
        """Read a part of a poll."""
        return self._service.read(records, refuse)

    async def apply(self, uow: UnitOfWork, readings: Sequence[Reading]) -> None:
        """Apply a poll."""
        await self.gate.wait()
        await self._service.apply(uow, readings)
        uow.after_commit(lambda: print(time.perf_counter(), len(readings), flush=True))


async def main(bootstrap: str, prefix: str, dsn: str) -> None:
    """Run until standard input ends."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap, topic_prefix=prefix)
    database = DatabaseSettings.model_validate({"dsn": dsn, "password": sys.stdin.readline().strip()})
    pool = await open_pool(database, "bench")
    messaging = MessagingRuntime(
        service="billing-engine",
        kafka=kafka,
        database=database,
        pool=pool,
        clock=SystemClock(),
        registry=CollectorRegistry(),
    )
    service = UsageService(pool, messaging.sources)
    await service.warm_up()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)  # as the engine does
    watched = Watched(service)
    messaging.subscribe([replace(usage_subscription(service), process=watched)])
    async with messaging:
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip() == "go":
                watched.gate.set()
            else:
                watched.gate.clear()
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
