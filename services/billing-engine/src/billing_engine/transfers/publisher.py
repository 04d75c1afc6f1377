"""Streaming frozen chunks to Kafka: the same bytes with the same ids, however often it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Any, Final

from tallyport.contracts.billing import BatchChunk
from tallyport.messaging.envelope import SOURCE_PREFIX, Envelope
from tallyport.messaging.kafka import producer
from tallyport.settings import KafkaSettings

from billing_engine.transfers import store

TOPIC = "billing.quantities"
CHUNKS_IN_FLIGHT: Final = 16
"""How many chunks are held in memory between the database and the broker's acknowledgement."""


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
    return envelope, head.encode() + chunk.rows + b"]}"


class ChunkPublisher:
    """Publishes one revision's chunks, in order of sequence."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    async def publish(
        self,
        connection: Any,
        batch_date: date,
        revision: int,
        frozen_at: datetime,
        on_progress: Callable[[int], Awaitable[None]],
    ) -> int:
        """Publish everything; returns how many rows. ``on_progress`` is told the rows acknowledged so far."""
        topic = self._kafka.topic(TOPIC)
        rows = 0
        after = 0
        async with producer(self._kafka, "billing-engine-publisher") as client:
            pending: list[Any] = []
            while chunks := await store.chunks_after(connection, batch_date, revision, after, CHUNKS_IN_FLIGHT):
                for acknowledgement in pending:
                    await acknowledgement
                pending = []
                for chunk in chunks:
                    envelope, value = chunk_record(batch_date, revision, frozen_at, chunk)
                    pending.append(
                        await client.send(
                            topic, key=chunk.first_key.encode(), value=value, headers=list(envelope.headers())
                        )
                    )
                    rows += chunk.row_count
                after = chunks[-1].sequence
                await on_progress(rows)
            for acknowledgement in pending:
                await acknowledgement
        return rows
