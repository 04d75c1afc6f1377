"""Publishing like any other producer, and waiting until the services have taken it in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata, TopicPartition
from tallyport.contracts.base import Contract
from tallyport.messaging.envelope import Envelope
from tallyport.messaging.kafka import admin as kafka_admin
from tallyport.messaging.kafka import producer as kafka_producer
from tallyport.settings import KafkaSettings

from tallyport_local.errors import OperationFailedError, StillWaitingError

CLIENT_ID: Final = "tallyport-cli"
MAX_IN_FLIGHT: Final = 2000
_POLL_SECONDS: Final = 0.1


@dataclass
class Publisher:
    """Sends events and remembers up to where each partition was filled."""

    producer: AIOKafkaProducer
    settings: KafkaSettings
    source: str
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    _sent: list[Awaitable[RecordMetadata]] = field(default_factory=list)

    async def send(self, topic: str, *, key: str, data: Contract, event_id: str) -> None:
        """Send one event; the acknowledgement is awaited later, in bulk."""
        envelope = Envelope(id=event_id, source=self.source, type=data.TYPE, time=datetime.now(UTC), subject=key)
        await self.send_raw(topic, key=key.encode(), value=data.write(), headers=envelope.headers())

    async def send_raw(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Send bytes as they are."""
        full = self.settings.topic(topic)
        self._sent.append(await self.producer.send(full, value=value, key=key, headers=list(headers)))
        if len(self._sent) >= MAX_IN_FLIGHT:
            await self.flush()

    async def flush(self) -> None:
        """Wait until every record is acknowledged.

        Raises:
            OperationFailedError: when the broker refused one.
        """
        try:
            for record in await asyncio.gather(*self._sent):
                place = TopicPartition(record.topic, record.partition)
                self.ends[place] = max(self.ends.get(place, 0), record.offset + 1)
        except KafkaError as error:
            raise OperationFailedError(f"Kafka refused a record: {error!r}") from error
        self._sent.clear()


@asynccontextmanager
async def publisher(settings: KafkaSettings, source: str) -> AsyncIterator[Publisher]:
    """A publisher that has flushed when the block ends.

    Raises:
        OperationFailedError: when the broker cannot be reached.
    """
    producer = kafka_producer(settings, CLIENT_ID, linger_ms=5)
    try:
        await producer.start()
    except (KafkaError, OSError) as error:
        raise OperationFailedError(f"Kafka at {settings.bootstrap_servers} does not answer: {error!r}") from error
    try:
        sender = Publisher(producer, settings, source)
        yield sender
        await sender.flush()
    finally:
        await producer.stop()


async def _left(admin: Any, group: str, ends: Mapping[TopicPartition, int]) -> int:
    """How many of the produced records the group has not committed yet."""
    committed = await admin.list_consumer_group_offsets(group, partitions=list(ends))
    return sum(max(0, end - max(0, committed[place].offset)) for place, end in ends.items() if place in committed)


async def wait_applied(
    settings: KafkaSettings,
    groups: Sequence[str],
    ends: Mapping[TopicPartition, int],
    *,
    timeout_seconds: float,
    progress: Callable[[str, int], None] = lambda _group, _left: None,
) -> None:
    """Until each consumer group has committed past ``ends``: its effects are then durable in its database.

    Raises:
        StillWaitingError: after the time-out, saying what is still to be read by whom.
    """
    if not ends:
        return
    deadline = time.monotonic() + timeout_seconds
    admin = kafka_admin(settings, CLIENT_ID)
    await admin.start()
    waiting = dict.fromkeys(groups, 1)
    try:
        while True:
            for group in list(waiting):
                try:
                    waiting[group] = await _left(admin, settings.topic(group), ends)
                except KafkaError:  # the coordinator moves or starts; asked again in a moment
                    continue
                progress(group, waiting[group])
                if waiting[group] == 0:
                    del waiting[group]
            if not waiting:
                return
            if time.monotonic() > deadline:
                lags = ", ".join(f"{group} has {left} records to read" for group, left in waiting.items())
                raise StillWaitingError(f"published, but not applied after {timeout_seconds:.0f} s: {lags}")
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        await admin.close()
