"""Everything a service needs to take part: consumers, the relay, and what tells whether they move."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any, Final, Self

import asyncpg
import structlog
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from tallyport.clock import Clock
from tallyport.messaging.backoff import Backoff
from tallyport.messaging.consumer import BatchConsumer, ConsumerProgress
from tallyport.messaging.dispatch import Subscription
from tallyport.messaging.inbox import SourceNumbers
from tallyport.messaging.kafka import consuming_broker
from tallyport.messaging.log_ends import LogEnds
from tallyport.messaging.metrics import MessagingMetrics
from tallyport.messaging.relay import OutboxRelay, outbox_state
from tallyport.messaging.unit_of_work import UnitOfWork, unit_of_work
from tallyport.postgres.pool import DATABASE_ERRORS
from tallyport.postgres.queries import load_queries
from tallyport.settings import DatabaseSettings, KafkaSettings

log = structlog.get_logger()

_QUERIES: Final = load_queries("tallyport.messaging")

MEASURE_SECONDS: Final = 20.0
PURGE_SECONDS: Final = 3600.0
DEFAULT_STALL_SECONDS: Final = 60.0
DEFAULT_INBOX_RETENTION_DAYS: Final = 400


class MessagingRuntime:
    """Runs a service's subscriptions and its outbox relay between ``async with`` and its end."""

    def __init__(
        self,
        *,
        service: str,
        kafka: KafkaSettings,
        database: DatabaseSettings,
        pool: asyncpg.Pool[asyncpg.Record],
        clock: Clock,
        registry: CollectorRegistry,
        stall_seconds: float = DEFAULT_STALL_SECONDS,
        inbox_retention_days: int = DEFAULT_INBOX_RETENTION_DAYS,
    ) -> None:
        self.service = service
        self.metrics = MessagingMetrics(registry)
        self.sources = SourceNumbers(pool)
        self._kafka = kafka
        self._database = database
        self._pool = pool
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._retention_days = inbox_retention_days
        self._stopping = asyncio.Event()
        self._consumers: list[BatchConsumer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ends = LogEnds(kafka, f"{service}-lag")
        self._broker = consuming_broker(kafka, service)
        self._broker_up = False
        self._progress: dict[str, ConsumerProgress] = {}

    def unit_of_work(self, consumer: str = "api") -> AbstractAsyncContextManager[UnitOfWork]:
        """A transaction for work that no record asked for: an HTTP request, a schedule."""
        return unit_of_work(self._pool, service=self.service, consumer=consumer, clock=self._clock)

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Add consumers; before the runtime is entered."""
        for subscription in subscriptions:
            consumer = BatchConsumer(
                subscription,
                settings=self._kafka,
                pool=self._pool,
                service=self.service,
                clock=self._clock,
                metrics=self.metrics,
                stopping=self._stopping,
                ends=self._ends,
                stall_seconds=self._stall_seconds,
            )
            consumer.register(self._broker)
            self._consumers.append(consumer)

    async def __aenter__(self) -> Self:
        """Start reading and publishing. A broker that is away is waited for in the background."""
        relay = OutboxRelay(
            kafka=self._kafka,
            database=self._database,
            service=self.service,
            metrics=self.metrics,
            stopping=self._stopping,
        )
        self._tasks = [
            asyncio.create_task(relay.run(), name="relay"),
            asyncio.create_task(self._start_broker(), name="broker"),
            asyncio.create_task(self._measure_for_ever(), name="measure"),
            asyncio.create_task(self._purge_for_ever(), name="purge"),
        ]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop reading, let the poll under way end or be left for the restart, stop publishing."""
        self._stopping.set()
        await asyncio.gather(*(consumer.drain() for consumer in self._consumers))
        if self._broker_up:
            await self._broker.stop()
        for task in self._tasks:
            if task.get_name() != "relay":
                task.cancel()
        done, late = await asyncio.wait(self._tasks, timeout=10)
        for task in late:
            task.cancel()
        for task in done | late:
            with suppress(asyncio.CancelledError):
                await task
        await self._ends.close()

    async def _start_broker(self) -> None:
        backoff = Backoff(self._stopping)
        while not self._stopping.is_set():
            try:
                await self._broker.start()
            except (KafkaError, OSError) as error:
                log.warning("broker_away", error=f"{type(error).__name__}: {error}")
                # A start that failed half-way leaves clients behind; stopping ends them before the next try.
                with suppress(KafkaError, OSError):
                    await self._broker.stop()
                await backoff.wait()
            else:
                self._broker_up = True
                # Measured before, the lag was unknown, which is not ready; the next regular measure is long after.
                await self._measure()
                return

    async def _measure_for_ever(self) -> None:
        while True:
            await self._measure()
            await asyncio.sleep(MEASURE_SECONDS)

    async def _measure(self) -> None:
        for progress in await self.progress():
            self._progress[progress.group] = progress

    async def _purge_for_ever(self) -> None:
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await connection.execute(_QUERIES["purge_inbox"], self._retention_days)
            except DATABASE_ERRORS as error:
                log.warning("inbox_not_purged", error=str(error))
            await asyncio.sleep(PURGE_SECONDS)

    async def progress(self) -> list[ConsumerProgress]:
        """Where each consumer is now."""
        return await asyncio.gather(*(consumer.measure() for consumer in self._consumers))

    async def status(self) -> dict[str, Any]:
        """Consumers and outbox, for the status endpoint."""
        try:
            outbox: dict[str, float] | None = await asyncio.wait_for(outbox_state(self._pool, self.metrics), timeout=5)
        except DATABASE_ERRORS:
            outbox = None
        return {
            "consumers": [
                {
                    "group": one.group,
                    "topic": one.topic,
                    "lag": one.lag,
                    "position_age_seconds": one.position_age_seconds,
                }
                for one in await self.progress()
            ],
            "outbox": outbox,
        }

    async def reasons_not_ready(self) -> list[str]:
        """Why the service should get no work: database away, broker away, or a position that stands still under lag."""
        reasons: list[str] = []
        try:
            async with asyncio.timeout(3), self._pool.acquire() as connection:
                await connection.fetchval("SELECT 1")
        except DATABASE_ERRORS as error:
            reasons.append(f"the database does not answer: {type(error).__name__}")
        if self._consumers and not self._broker_up:
            reasons.append("the broker does not answer: consumers are not started")
        for one in self._progress.values():
            if one.lag is None and self._broker_up:
                reasons.append(f"{one.group}: the broker does not tell how much is left")
            elif one.stalled:
                reasons.append(
                    f"{one.group}: {one.lag} records wait, the position has not moved for {one.position_age_seconds} s"
                )
        return reasons
