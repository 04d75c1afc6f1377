"""The collector, built and wired."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from tallyport.access.tokens import TokenStore
from tallyport.clock import Clock, SystemClock
from tallyport.observability.http import serve, service_app
from tallyport.process import EXIT_SETTINGS

from usage_collector.database import Database, SpoolInUseError, SpoolVersionError
from usage_collector.metrics import CollectorMetrics
from usage_collector.runs.api import runs_router
from usage_collector.runs.service import SERVICE, Collector, Surroundings
from usage_collector.runs.stream import Requests
from usage_collector.settings import CollectorSettings
from usage_collector.sources.file import SourcesFileError, read_sources
from usage_collector.sources.model import Source
from usage_collector.spool.publisher import Publisher
from usage_collector.spool.store import Spool, SpoolState

MAX_REASONS: Final = 20
MEASURE_SECONDS: Final = 15.0


class UsageCollector:
    """The running parts."""

    def __init__(
        self,
        settings: CollectorSettings,
        sources: Sequence[Source],
        database: Database,
        registry: CollectorRegistry,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._metrics = CollectorMetrics(registry)
        self._stopping = asyncio.Event()
        self.spool = Spool(database, settings.spool.max_bytes)
        self.publisher = Publisher(self.spool, settings.kafka, SERVICE, self._metrics, self._stopping)
        surroundings = Surroundings(database, self.spool, self._clock, self._metrics, self.publisher.wake)
        self.collector = Collector(sources, surroundings)
        self._requests = Requests(settings.kafka, self.collector, surroundings, settings.collector_name)

    async def reasons_not_ready(self) -> list[str]:
        """Why something is not read, or does not go out. A broker that is away for a moment is no reason."""
        workers = self.collector.workers.values()
        reasons = [f"{worker.source.name} pauses: {worker.paused}" for worker in workers if worker.paused]
        reasons += [worker.broken for worker in workers if worker.broken]
        reasons += [
            reason for reason in (self.publisher.reason_not_ready(), await self._requests.reason_not_ready()) if reason
        ]
        return reasons[:MAX_REASONS]

    async def status(self) -> dict[str, Any]:
        """The consumer and the spool; ``outbox`` says the same in the words of the other services."""
        spool = await self.measure()
        return {
            "consumers": [await self._requests.status()],
            "outbox": {"depth": spool.records, "oldest_seconds": spool.oldest_seconds},
            "spool": {"records": spool.records, "bytes": spool.bytes, "oldest_seconds": spool.oldest_seconds},
        }

    async def measure(self) -> SpoolState:
        """What waits, also for the metrics."""
        state = await asyncio.to_thread(self.spool.state, self._clock.now())
        self._metrics.spool_records.set(state.records)
        self._metrics.spool_bytes.set(state.bytes)
        self._metrics.spool_age.set(state.oldest_seconds)
        return state

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything runs while the block does."""
        await self.collector.recover()
        publishing = asyncio.create_task(self.publisher.run(), name="publisher")
        asking = asyncio.create_task(self._requests.run(self._stopping), name="requests")
        reading = asyncio.create_task(self.collector.work(self._stopping.wait()), name="sources")
        measuring = asyncio.create_task(self._measure_for_ever(), name="measure")
        try:
            yield
        finally:
            self._stopping.set()
            asking.cancel()
            measuring.cancel()
            await asyncio.gather(publishing, asking, reading, measuring, return_exceptions=True)

    async def _measure_for_ever(self) -> None:
        while True:
            await self.measure()
            await asyncio.sleep(MEASURE_SECONDS)


def application(
    service: UsageCollector, database: Database, tokens: TokenStore, registry: CollectorRegistry
) -> FastAPI:
    """The HTTP face."""
    app = service_app(SERVICE, tokens=tokens, registry=registry, health=service, lifespan=service.running)
    app.include_router(runs_router(service.collector, database))
    return app


async def run(settings: CollectorSettings) -> None:
    """Serve until told to stop."""
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        try:
            sources = await asyncio.to_thread(read_sources, settings.sources_file)
            database = await asyncio.to_thread(Database, settings.spool.path)
        except (SourcesFileError, SpoolInUseError, SpoolVersionError, sqlite3.Error) as error:
            sys.stderr.write(f"{SERVICE}: {error}\n")
            sys.exit(EXIT_SETTINGS)
        stack.push_async_callback(asyncio.to_thread, database.close)
        tokens = TokenStore.from_file(settings.http.tokens_file)
        service = UsageCollector(settings, sources, database, registry)
        await serve(application(service, database, tokens, registry), settings.http)
