"""``collection.requests``: somebody wants sources read now. One transaction of the spool, then the offsets."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from tallyport.clock import Clock
from tallyport.contracts.collection import CollectionRequest
from tallyport.correlation import correlated
from tallyport.messaging.backoff import Backoff
from tallyport.messaging.dispatch import describe
from tallyport.messaging.envelope import Envelope, read_envelope
from tallyport.messaging.kafka import client_arguments
from tallyport.messaging.log_ends import LogEnds
from tallyport.messaging.record import Record, UnusableRecordError
from tallyport.messaging.unit_of_work import DEAD_LETTER_SUFFIX
from tallyport.settings import KafkaSettings

from usage_collector.runs import store
from usage_collector.runs.service import Collector, Surroundings
from usage_collector.spool.store import Message

TOPIC: Final = "collection.requests"
MAX_RECORDS: Final = 100
POLL_MS: Final = 20_000
"""How long a poll, and the broker's answer to it, wait for a request; one that arrives ends it at once."""
LAG_SECONDS: Final = 3.0
STALL_SECONDS: Final = 60.0

log = structlog.get_logger()


class Requests:
    """The consumer. Every collector has a group of its own, so each sees every request."""

    def __init__(
        self, kafka: KafkaSettings, collector: Collector, surroundings: Surroundings, name: str | None = None
    ) -> None:
        self.group = f"usage-collector.{name}.requests" if name else "usage-collector.requests"
        self._kafka = kafka
        self._collector = collector
        self._around = surroundings
        self._clock: Clock = surroundings.clock
        self._ends = LogEnds(kafka, "usage-collector-lag")
        self._client: AIOKafkaConsumer | None = None
        self._moved_at = time.monotonic()
        self._error = "the broker does not answer"

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until cancelled; a broker that is away is waited for."""
        backoff = Backoff(stopping)
        try:
            while not stopping.is_set():
                try:
                    await self._consume(backoff)
                except (KafkaError, OSError, sqlite3.Error) as error:
                    self._error = f"{type(error).__name__}: {error}"
                    log.warning("requests_not_read", error=self._error)
                except Exception as error:
                    self._error = f"{type(error).__name__}: {error}"
                    log.exception("requests_failed")
                await backoff.wait()
        finally:
            await self._ends.close()

    async def _consume(self, backoff: Backoff) -> None:
        client = AIOKafkaConsumer(
            self._kafka.topic(TOPIC),
            **client_arguments(self._kafka, "usage-collector"),
            group_id=self._kafka.topic(self.group),
            group_instance_id=self._kafka.instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=30_000,
            heartbeat_interval_ms=10_000,
            fetch_max_wait_ms=POLL_MS,
        )
        try:
            await client.start()
            self._client = client
            while True:
                polled = await client.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
                records = [record for batch in polled.values() for record in batch]
                if not records:
                    continue
                asked = await asyncio.to_thread(self._accept, [self._record(one) for one in records])
                self._around.spooled()
                for name in asked:
                    self._collector.workers[name].wake()
                self._moved_at = time.monotonic()
                await client.commit({place: batch[-1].offset + 1 for place, batch in polled.items() if batch})
                backoff.reset()
        finally:
            self._client = None
            await client.stop()

    def _record(self, item: ConsumerRecord[Any, Any]) -> Record:
        topic = item.topic.removeprefix(self._kafka.topic_prefix)
        return Record(
            topic, item.partition, item.offset, item.key, item.value, tuple(item.headers), item.timestamp
        )  # fmt: skip

    def _accept(self, records: Sequence[Record]) -> set[str]:
        """Queue what is asked for, set aside what nobody can read; the sources to wake."""
        asked: set[str] = set()
        now = self._clock.now()
        with self._around.database.write() as tx:
            for record in records:
                try:
                    envelope, request = _read(record)
                except UnusableRecordError as error:
                    self._around.spool.put(tx, self._dead_letter(record, str(error)), now)
                    continue
                if not store.accept_request(tx, envelope.source, envelope.id, now):
                    continue
                known = [name for name in request.sources or self._collector.workers if name in self._collector.workers]
                if unknown := set(request.sources) - set(known):
                    # Another collector may have it; none can know them all.
                    with correlated(request.run_id):
                        log.info("sources_not_here", run_id=request.run_id, sources=sorted(unknown))
                for name in known:
                    store.queue(tx, request.run_id, name)
                asked.update(known)
        return asked

    def _dead_letter(self, record: Record, reason: str) -> Message:
        with correlated(record.correlation_id):
            log.warning("record_set_aside", place=record.place, reason=reason)
        place = {
            "dl_reason": reason[:2000],
            "dl_topic": record.topic,
            "dl_partition": str(record.partition),
            "dl_offset": str(record.offset),
            "dl_consumer": self.group,
            "dl_at": self._clock.now().isoformat(),
        }
        kept = [(name, value or b"") for name, value in record.headers if not name.startswith("dl_")]
        headers = (*kept, *((name, value.encode()) for name, value in place.items()))
        return Message(f"{record.topic}{DEAD_LETTER_SUFFIX}", record.key, record.value, headers)

    async def status(self) -> dict[str, Any]:
        """Where the consumer is; the lag is None while the broker does not answer."""
        lag = None
        try:
            lag = await asyncio.wait_for(self._lag(), timeout=LAG_SECONDS)
        except (KafkaError, OSError, TimeoutError) as error:
            self._error = f"{type(error).__name__}: {error}".rstrip(": ")
        if lag == 0:
            self._moved_at = time.monotonic()
        age = round(time.monotonic() - self._moved_at, 1)
        return {"group": self.group, "topic": TOPIC, "lag": lag, "position_age_seconds": age}

    async def reason_not_ready(self) -> str | None:
        """Why requests are not read, once that has lasted."""
        if time.monotonic() - self._moved_at < STALL_SECONDS:
            return None
        age = (await self.status())["position_age_seconds"]
        return f"{TOPIC} has not been read for {age:.0f} s: {self._error}" if age >= STALL_SECONDS else None

    async def _lag(self) -> int | None:
        client = self._client
        if client is None:
            return None
        assigned: set[TopicPartition] = client.assignment()
        if not assigned:
            return None
        ends = await self._ends.of(assigned)
        starts = await self._ends.beginnings_of(assigned)
        done = {place: await client.committed(place) for place in assigned}
        return sum(max(0, ends[place] - (done[place] or starts[place])) for place in assigned)


def _read(record: Record) -> tuple[Envelope, CollectionRequest]:
    """The request in a record.

    Raises:
        UnusableRecordError: with the reason.
    """
    envelope = read_envelope(record)
    if envelope.type != CollectionRequest.TYPE:
        raise UnusableRecordError(f"type {envelope.type!r} is not read here, only {CollectionRequest.TYPE}")
    try:
        return envelope, CollectionRequest.read(record.value or b"")
    except ValidationError as error:
        raise UnusableRecordError(describe(error)) from None
