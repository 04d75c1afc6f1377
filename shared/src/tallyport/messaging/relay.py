"""The outbox relay: one per database, in order, marked after the acknowledgement."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tallyport.messaging.backoff import Backoff
from tallyport.messaging.kafka import producer
from tallyport.messaging.metrics import MessagingMetrics
from tallyport.postgres.pool import TRANSIENT_ERRORS, connect_arguments
from tallyport.postgres.queries import load_queries
from tallyport.settings import DatabaseSettings, KafkaSettings

log = structlog.get_logger()

_QUERIES: Final = load_queries("tallyport.messaging")

MAX_BATCH_MESSAGES: Final = 500
IDLE_SECONDS: Final = 15.0
"""How long a message can wait at most when its notification was lost, and how often a standby asks for the lock."""


class OutboxRelay:
    """Publishes what units of work left in the outbox.

    It holds an advisory lock in a session of its own; a second relay on the same database waits until that session
    ends. A message is deleted only after every in-sync replica has it, so a crash in between publishes it again, with
    the same event id.
    """

    def __init__(
        self,
        *,
        kafka: KafkaSettings,
        database: DatabaseSettings,
        service: str,
        metrics: MessagingMetrics,
        stopping: asyncio.Event,
    ) -> None:
        self._kafka = kafka
        self._database = database
        self._service = service
        self._metrics = metrics
        self._stopping = stopping
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Relay until the service stops; a database or broker that is away is waited for."""
        backoff = Backoff(self._stopping)
        while not self._stopping.is_set():
            try:
                await self._session(backoff)
            except (*TRANSIENT_ERRORS, KafkaError) as error:
                log.warning("relay_interrupted", error=f"{type(error).__name__}: {error}")
                await backoff.wait()
            except asyncpg.PostgresError:
                log.exception("relay_failed")
                await backoff.wait()

    async def _session(self, backoff: Backoff) -> None:
        connection = await asyncpg.connect(**connect_arguments(self._database, f"{self._service} relay"))
        try:
            await connection.add_listener("outbox", self._on_notify)
            while not await connection.fetchval(_QUERIES["become_relay"]):
                await self._idle()
                if self._stopping.is_set():
                    return
            async with producer(self._kafka, f"{self._service}-relay") as client:
                while not self._stopping.is_set():
                    self._wake.clear()
                    if await self._publish_some(connection, client):
                        backoff.reset()
                    else:
                        await self._idle()
        finally:
            # A broken connection cannot be closed politely; what matters is that the lock's session ends.
            connection.terminate()

    def _on_notify(self, *_: Any) -> None:
        self._wake.set()

    async def _idle(self) -> None:
        waiting = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waiting, timeout=IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _publish_some(self, connection: Any, client: AIOKafkaProducer) -> int:
        """Publish the oldest messages; returns how many."""
        rows = await connection.fetch(_QUERIES["next_in_outbox"], MAX_BATCH_MESSAGES)
        if not rows:
            return 0
        # Waiting for all acknowledgements at once keeps the order per partition: the client sends a partition's
        # records in the order they were handed over, and the broker refuses a gap.
        pending = [
            await client.send(
                self._kafka.topic(row["topic"]),
                key=row["key"],
                value=row["value"],
                headers=list(zip(row["header_names"], row["header_values"], strict=True)),
            )
            for row in rows
        ]
        await asyncio.gather(*pending)
        await connection.execute(_QUERIES["published"], [row["id"] for row in rows])
        self._metrics.published.inc(len(rows))
        return len(rows)


async def outbox_state(pool: asyncpg.Pool[asyncpg.Record], metrics: MessagingMetrics) -> dict[str, float]:
    """How much waits in the outbox: ``depth`` in messages, ``oldest_seconds``."""
    async with pool.acquire() as connection:
        row = await connection.fetchrow(_QUERIES["outbox_state"])
    state = {"depth": row["depth"], "oldest_seconds": round(row["oldest_seconds"], 1)} if row else {}
    metrics.outbox_depth.set(state.get("depth", 0))
    metrics.outbox_age.set(state.get("oldest_seconds", 0))
    return state
