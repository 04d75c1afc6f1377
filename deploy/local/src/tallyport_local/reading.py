"""Reading topics for people: events as they come, dead letters as they lie."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from tallyport.messaging.kafka import client_arguments
from tallyport.settings import KafkaSettings

from tallyport_local.errors import InvalidInputError, OperationFailedError
from tallyport_local.publishing import CLIENT_ID
from tallyport_local.topics import DEAD_LETTERS, load_topics

MAX_FETCH_BYTES: Final = 10 * 1024 * 1024
_PLACE_FIELDS: Final = 3

Header = tuple[str, bytes]


def full_topic(settings: KafkaSettings, name: str) -> str:
    """The broker's name of a topic that is given with or without the prefix.

    Raises:
        InvalidInputError: when there is no such topic.
    """
    short = name.removeprefix(settings.topic_prefix)
    known = [topic.name for topic in load_topics().broker_topics()]
    if short not in known:
        plain = ", ".join(topic for topic in known if not topic.endswith(DEAD_LETTERS))
        raise InvalidInputError(f"there is no topic {name!r}; there are {plain}, each with {DEAD_LETTERS}")
    return settings.topic(short)


@asynccontextmanager
async def consumer(settings: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group: it reads and leaves no trace.

    Raises:
        OperationFailedError: when the broker cannot be reached.
    """
    client = AIOKafkaConsumer(
        **client_arguments(settings, CLIENT_ID),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=4 * MAX_FETCH_BYTES,
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
    )
    try:
        await client.start()
    except (KafkaError, OSError) as error:
        raise OperationFailedError(f"Kafka at {settings.bootstrap_servers} does not answer: {error!r}") from error
    try:
        yield client
    finally:
        await client.stop()


async def partitions_of(client: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    """All partitions of these topics, in order."""
    cluster = await client._client.fetch_all_metadata()  # noqa: SLF001 - the consumer knows only topics it reads
    return [
        TopicPartition(topic, number)
        for topic in topics
        for number in sorted(cluster.partitions_for_topic(topic) or ())
    ]


async def read_all(settings: KafkaSettings, topics: Sequence[str]) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    """Every record that is in these topics now, partition by partition."""
    async with consumer(settings) as client:
        places = await partitions_of(client, topics)
        if not places:
            return
        ends = await client.end_offsets(places)
        starts = await client.beginning_offsets(places)
        for place in places:
            if starts[place] >= ends[place]:
                continue
            client.assign([place])
            client.seek(place, starts[place])
            while await client.position(place) < ends[place]:
                batch = await client.getmany(place, timeout_ms=1000)
                for record in batch.get(place, []):
                    if record.offset < ends[place]:
                        yield record


async def tail(
    settings: KafkaSettings, topic: str, *, from_beginning: bool
) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    """Records as they come, without end."""
    async with consumer(settings) as client:
        places = await partitions_of(client, [topic])
        client.assign(places)
        await (client.seek_to_beginning(*places) if from_beginning else client.seek_to_end(*places))
        async for record in client:
            yield record


async def read_one(settings: KafkaSettings, place: TopicPartition, offset: int) -> ConsumerRecord[bytes, bytes]:
    """The record at a place.

    Raises:
        InvalidInputError: when there is none (any more).
    """
    async with consumer(settings) as client:
        if place not in await partitions_of(client, [place.topic]):
            raise InvalidInputError(f"{place.topic} has no partition {place.partition}")
        start = (await client.beginning_offsets([place]))[place]
        end = (await client.end_offsets([place]))[place]
        if start <= offset < end:
            client.assign([place])
            client.seek(place, offset)
            record = await client.getone(place)
            if record.offset == offset:
                return record
    raise InvalidInputError(f"{place.topic} partition {place.partition} holds no record at offset {offset}")


def parse_place(settings: KafkaSettings, text: str) -> tuple[TopicPartition, int]:
    """``TOPIC:PARTITION:OFFSET``, as ``dead-letters list`` prints it.

    Raises:
        InvalidInputError: when it is not of that form, or names no topic of dead letters.
    """
    fields = text.rsplit(":", _PLACE_FIELDS - 1)
    if len(fields) != _PLACE_FIELDS or not (fields[1].isdecimal() and fields[2].isdecimal()):
        raise InvalidInputError(f"{text!r}: expected TOPIC:PARTITION:OFFSET, as `dead-letters list` prints it")
    name = fields[0] if fields[0].endswith(DEAD_LETTERS) else f"{fields[0]}{DEAD_LETTERS}"
    return TopicPartition(full_topic(settings, name), int(fields[1])), int(fields[2])


@dataclass(frozen=True)
class DeadLetter:
    """A record that a service could not use: where it lies, where it stood, why, and what it was."""

    place: str
    topic: str
    partition: str
    offset: str
    consumer: str
    reason: str
    at: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]

    @classmethod
    def of(cls, settings: KafkaSettings, record: ConsumerRecord[bytes, bytes]) -> DeadLetter:
        """Read the ``dl_`` headers; the others are the original's."""
        named = {name: value.decode(errors="replace") for name, value in record.headers if name.startswith("dl_")}
        short = record.topic.removeprefix(settings.topic_prefix)
        return cls(
            place=f"{short}:{record.partition}:{record.offset}",
            topic=named.get("dl_topic") or short.removesuffix(DEAD_LETTERS),
            partition=named.get("dl_partition", "?"),
            offset=named.get("dl_offset", "?"),
            consumer=named.get("dl_consumer", "?"),
            reason=named.get("dl_reason", "?"),
            at=named.get("dl_at", "?"),
            key=record.key,
            value=record.value,
            headers=tuple((name, value) for name, value in record.headers if not name.startswith("dl_")),
        )

    def summary(self) -> dict[str, Any]:
        """What ``list --json`` prints."""
        return {
            "place": self.place,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "consumer": self.consumer,
            "reason": self.reason,
            "at": self.at,
            "key": text_of(self.key),
            "size_bytes": len(self.value or b""),
        }


def text_of(raw: bytes | None) -> str | None:
    """Bytes for a screen."""
    return None if raw is None else raw.decode(errors="backslashreplace")


def pretty(raw: bytes | None, *, limit: int) -> str:
    """A value for a screen: JSON laid out, anything else as it is, both cut at ``limit`` characters."""
    if raw is None:
        return "(no value: a removal)"
    text = raw.decode(errors="backslashreplace")
    if len(text) <= limit:
        with contextlib.suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(raw)} bytes)"


def moment(timestamp_ms: int) -> str:
    """A record's time, UTC."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
