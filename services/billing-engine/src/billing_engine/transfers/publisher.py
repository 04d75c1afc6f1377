"""Streaming frozen chunks to Kafka: the same bytes with the same ids, however often it is done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from tallyport.contracts.billing import BatchChunk
from tallyport.messaging.envelope import SOURCE_PREFIX, Envelope
from tallyport.messaging.kafka import producer
from tallyport.settings import KafkaSettings

from billing_engine.transfers import store

log = structlog.get_logger()

TOPIC = "billing.quantities"
CHUNKS_IN_FLIGHT: Final = 16
"""How many chunks are held in memory between the database and the broker's acknowledgement."""


@dataclass(frozen=True, slots=True)
class Published:
    """How far a revision is published: the chunks up to ``sequence`` were acknowledged, ``rows`` rows in all."""

    sequence: int = 0
    rows: int = 0


def chunk_record(batch_date: date, revision: int, frozen_at: datetime, chunk: store.Chunk) -> tuple[Envelope, bytes]:
    """A chunk's envelope and value; nothing in them depends on when it is published."""
    envelope = Envelope(
        id=f"{batch_date}/{revision}/{chunk.sequence}",
        source=f"{SOURCE_PREFIX}billing-engine",
        type=BatchChunk.TYPE,
        time=frozen_at,
        subject=chunk.first_key,
    )
    # The frozen bytes go out as they are: parsing them to write them again would only be a chance to change them.
    head = (
        f'{{"batch_date":"{batch_date}","revision":{revision},"sequence":{chunk.sequence},"kind":"{chunk.kind}",'
        f'"sha256":"{chunk.sha256}","rows":['
    )
    return envelope, b"".join((head.encode(), chunk.rows, b"]}"))


class _Sender:
    """Hands chunks to a producer in order of sequence, and knows up to where they were acknowledged."""

    def __init__(self, client: AIOKafkaProducer, topic: str, key: tuple[date, int], frozen_at: datetime) -> None:
        self._client = client
        self._topic = topic
        self._key = key
        self._frozen_at = frozen_at
        self._pending: list[Awaitable[Any]] = []
        self._sent = Published()

    def go_on_from(self, published: Published) -> None:
        self._sent = published

    async def send(self, chunks: Sequence[store.Chunk]) -> None:
        for chunk in chunks:
            envelope, value = chunk_record(*self._key, self._frozen_at, chunk)
            headers = list(envelope.headers())
            self._pending.append(
                await self._client.send(self._topic, key=chunk.first_key.encode(), value=value, headers=headers)
            )
            self._sent = Published(chunk.sequence, self._sent.rows + chunk.row_count)

    async def acknowledged(self) -> Published:
        """Wait until the broker has all that was sent."""
        for acknowledgement in self._pending:
            await acknowledgement
        self._pending = []
        return self._sent


class RunningAhead:
    """Publishes what was just frozen, while the rest is computed.

    A broker that is away ends it and nothing else: the lines go on being frozen, and what is left is published when
    they are. ``published`` is how far it came.
    """

    def __init__(self, sender: _Sender | None, frozen_at: datetime) -> None:
        self._sender = sender
        self.frozen_at = frozen_at
        self.published = Published()

    async def send(self, chunks: Sequence[store.Chunk]) -> None:
        """Send ``chunks``, which are durable. What was sent before is waited for: memory holds one call's chunks."""
        await self.settle()
        if self._sender is not None:
            try:
                await self._sender.send(chunks)
            except KafkaError as error:
                self._give_up(error)

    async def settle(self) -> None:
        """Wait until what was sent is acknowledged."""
        if self._sender is not None:
            try:
                self.published = await self._sender.acknowledged()
            except KafkaError as error:
                self._give_up(error)

    def _give_up(self, error: KafkaError) -> None:
        log.warning("not_publishing_ahead", error=f"{type(error).__name__}: {error}")
        self._sender = None


class ChunkPublisher:
    """Publishes a revision's chunks, in order of sequence."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    @asynccontextmanager
    async def ahead(self, batch_date: date, revision: int, frozen_at: datetime) -> AsyncIterator[RunningAhead]:
        """To publish a revision while it is frozen."""
        async with AsyncExitStack() as stack:
            sender: _Sender | None = None
            try:
                client = await stack.enter_async_context(producer(self._kafka, "billing-engine-publisher"))
            except KafkaError as error:
                log.warning("not_publishing_ahead", error=f"{type(error).__name__}: {error}")
            else:
                sender = _Sender(client, self._kafka.topic(TOPIC), (batch_date, revision), frozen_at)
            yield RunningAhead(sender, frozen_at)

    async def publish(
        self,
        connection: Any,
        batch_date: date,
        revision: int,
        frozen_at: datetime,
        *,
        published: Published,
        on_progress: Callable[[int], Awaitable[None]],
    ) -> int:
        """Publish all after what is ``published``; returns how many rows there are of the revision.

        ``on_progress`` is told the rows acknowledged so far.
        """
        if not await store.chunks_after(connection, batch_date, revision, published.sequence, 1):
            return published.rows
        async with producer(self._kafka, "billing-engine-publisher") as client:
            sender = _Sender(client, self._kafka.topic(TOPIC), (batch_date, revision), frozen_at)
            sender.go_on_from(published)
            after = published.sequence
            while chunks := await store.chunks_after(connection, batch_date, revision, after, CHUNKS_IN_FLIGHT):
                published = await sender.acknowledged()
                await on_progress(published.rows)
                await sender.send(chunks)
                after = chunks[-1].sequence
            published = await sender.acknowledged()
        return published.rows
