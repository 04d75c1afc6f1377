"""A batch consumer: one poll, one transaction, then the offsets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, Protocol

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from tallyport.clock import Clock
from tallyport.correlation import correlated
from tallyport.messaging.backoff import Backoff
from tallyport.messaging.dispatch import POISON_ERRORS, Subscription
from tallyport.messaging.log_ends import LogEnds
from tallyport.messaging.metrics import MessagingMetrics
from tallyport.messaging.record import Record
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.postgres.pool import TRANSIENT_ERRORS
from tallyport.settings import KafkaSettings

log = structlog.get_logger()

MAX_POLL_INTERVAL_MS: Final = 600_000
DRAIN_SECONDS: Final = 5.0
POLLS_READ_AHEAD: Final = 2
"""Polls that are being applied or wait for it: one is not enough to keep both Python and PostgreSQL at work."""
RECORDS_READ_AT_ONCE: Final = 250
"""A few milliseconds of work, so that whoever waits for the loop does not wait for a whole poll."""
IDLE_WAIT_MS: Final = 20_000
"""How long an idle consumer and the broker wait for each other; a record that arrives ends it at once."""
BUSY_WAIT_MS: Final = 250
"""How long they do while records come."""


class StoppingError(Exception):
    """The service stops while a poll is being retried: its offsets stay uncommitted, so it is read again."""


class _HasConsumer(Protocol):
    consumer: AIOKafkaConsumer | None


@dataclass(frozen=True, slots=True)
class ConsumerProgress:
    """How far one consumer is. ``lag`` is in records, None while the broker does not answer."""

    group: str
    topic: str
    lag: int | None
    position_age_seconds: float
    stalled: bool


@dataclass(slots=True)
class _Position:
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    lag: int | None = None
    moved_at: float = field(default_factory=time.monotonic)
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class _Poll:
    """A poll as it was read: its records, what they say, and those that say nothing usable."""

    records: Sequence[Record]
    readings: list[Any]
    refused: list[tuple[Record, str]]

    def refuse(self, record: Record, reason: str) -> None:
        self.refused.append((record, reason))


class BatchConsumer:
    """Reads one subscription through FastStream and applies it poll by poll.

    One poll is applied at a time, in order; the next is read meanwhile, so that Python works while PostgreSQL does.

    FastStream swallows whatever a handler raises and reads on, which would skip records; so nothing is raised to it:
    a poll that fails is tried again, here, until it succeeds or the service stops.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        settings: KafkaSettings,
        pool: asyncpg.Pool[asyncpg.Record],
        service: str,
        clock: Clock,
        metrics: MessagingMetrics,
        stopping: asyncio.Event,
        ends: LogEnds,
        stall_seconds: float,
    ) -> None:
        self.subscription = subscription
        self._settings = settings
        self._pool = pool
        self._service = service
        self._clock = clock
        self._metrics = metrics
        self._labels = (subscription.topic, subscription.group)
        self._stopping = stopping
        self._ends = ends
        self._stall_seconds = stall_seconds
        self._position = _Position()
        self._subscriber: _HasConsumer | None = None
        self._applying: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(POLLS_READ_AHEAD)

    def register(self, broker: KafkaBroker) -> None:
        """Subscribe on ``broker``; reading begins when the broker starts."""
        subscriber = broker.subscriber(
            self._settings.topic(self.subscription.topic),
            group_id=self._settings.topic(self.subscription.group),
            group_instance_id=self._settings.instance,
            batch=True,
            max_records=self.subscription.max_records,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_bytes=self.subscription.fetch_max_bytes,
            max_partition_fetch_bytes=self.subscription.fetch_max_bytes,
            fetch_max_wait_ms=BUSY_WAIT_MS,
            consumer_timeout_ms=IDLE_WAIT_MS,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            session_timeout_ms=30_000,
            heartbeat_interval_ms=10_000,
            check_crcs=True,
            parser=_raw_batch,
            decoder=_undecoded,
            no_reply=True,
        )
        # FastStream sleeps after an empty poll, deaf to what arrives meanwhile: short sleeps keep an idle stack busy,
        # long ones keep a customer waiting. Waiting in the poll itself does neither.
        subscriber.get_msg = self._next_poll  # type: ignore[method-assign]
        subscriber(self._on_poll)
        self._subscriber = subscriber

    async def _next_poll(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord[Any, Any], ...]:
        found = await consumer.getmany(timeout_ms=IDLE_WAIT_MS, max_records=self.subscription.max_records)
        _let_fetches_wait(consumer, BUSY_WAIT_MS if found else IDLE_WAIT_MS)
        return tuple(chain.from_iterable(found.values()))

    async def _on_poll(self, message: KafkaMessage) -> None:
        """What FastStream calls with each poll; the decoder passes the message through."""
        raw: tuple[ConsumerRecord[Any, Any], ...] = message.raw_message
        # FastStream's message is part of a cycle: whatever it held would stay until the garbage collector comes by, and
        # that comes after many objects, not after many bytes. A hundred megabytes of records waited for it.
        message.raw_message = ()
        # Records of a partition come in order, so the last one read is the furthest.
        last = {(item.topic, item.partition): item.offset for item in raw}
        offsets = {TopicPartition(*partition): offset + 1 for partition, offset in last.items()}
        topic = self.subscription.topic
        records = [
            Record(topic, one.partition, one.offset, one.key, one.value, tuple(one.headers), one.timestamp)
            for one in raw
        ]
        try:
            poll = await self._read(records)
        except StoppingError:
            return
        await self._room.acquire()
        self._applying = asyncio.create_task(self._apply_next(self._applying, poll, offsets))

    async def drain(self) -> None:
        """Wait until what was read is applied, or left for the restart; a poll that hangs is given up after a while."""
        if self._applying is None:
            return
        _, late = await asyncio.wait([self._applying], timeout=DRAIN_SECONDS)
        if late:
            log.warning("poll_given_up", group=self.subscription.group, seconds=DRAIN_SECONDS)
            self._applying.cancel()
            await asyncio.wait([self._applying])

    async def _apply_next(
        self, before: asyncio.Task[None] | None, poll: _Poll, offsets: dict[TopicPartition, int]
    ) -> None:
        try:
            if before is not None:
                await asyncio.wait([before])
            await self._apply(poll)
            await self._commit(offsets)
        except StoppingError:
            log.info("poll_left_for_restart", group=self.subscription.group, records=len(poll.records))
        except asyncio.CancelledError:
            if before is not None and before.cancel():
                await asyncio.wait([before])
            raise
        finally:
            self._room.release()

    async def _read(self, records: Sequence[Record]) -> _Poll:
        """Read ``records`` while the poll before is being applied. A defect in reading stops here, and skips nothing.

        Raises:
            StoppingError: the service stops before it succeeded.
        """
        backoff = Backoff(self._stopping)
        while not self._stopping.is_set():
            try:
                return await self._read_in_slices(records)
            except Exception as error:
                log.exception("poll_not_read", group=self.subscription.group, first=records[0].place)
                await self._retry_later(backoff, error)
        raise StoppingError

    async def _read_in_slices(self, records: Sequence[Record]) -> _Poll:
        poll = _Poll(records, [], [])
        for start in range(0, len(records), RECORDS_READ_AT_ONCE):
            part = records[start : start + RECORDS_READ_AT_ONCE]
            poll.readings.extend(self.subscription.process.read(part, poll.refuse))
            await asyncio.sleep(0)
        return poll

    async def _apply(self, poll: _Poll) -> None:
        """Apply ``poll`` durably, however often it takes.

        Raises:
            StoppingError: the service stops before it succeeded.
        """
        backoff = Backoff(self._stopping)
        started = time.perf_counter()
        while True:
            if self._stopping.is_set():
                raise StoppingError
            try:
                await self._apply_once(poll)
            except POISON_ERRORS as error:
                await self._apply_one_by_one(poll.records, error)
            except TRANSIENT_ERRORS as error:
                log.warning("poll_retried", group=self.subscription.group, error=f"{type(error).__name__}: {error}")
                await self._retry_later(backoff, error)
                continue
            except Exception as error:
                log.exception("poll_failed", group=self.subscription.group, first=poll.records[0].place)
                await self._retry_later(backoff, error)
                continue
            self._position.last_error = None
            self._metrics.seconds.labels(*self._labels).observe(time.perf_counter() - started)
            return

    async def _retry_later(self, backoff: Backoff, error: BaseException) -> None:
        self._position.last_error = f"{type(error).__name__}: {error}"
        self._metrics.retries.labels(*self._labels).inc()
        await backoff.wait()

    async def _apply_one_by_one(self, records: Sequence[Record], error: BaseException) -> None:
        """A value the database refuses condemns its own record, not its neighbours."""
        if len(records) == 1:
            reason = f"the database refuses it: {error}"
            async with self._pool.acquire() as connection, connection.transaction():
                uow = self._unit_of_work(connection)
                uow.reject(records[0], reason)
                await uow.flush()
            self._count(uow, 1)
            return
        for record in records:
            await self._apply(await self._read([record]))

    async def _apply_once(self, poll: _Poll) -> None:
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                uow = self._unit_of_work(connection)
                for record, reason in poll.refused:
                    uow.reject(record, reason)
                await self.subscription.process.apply(uow, poll.readings)
                await uow.flush()
            self._count(uow, len(poll.records))
            await uow.committed()

    def _unit_of_work(self, connection: Any) -> UnitOfWork:
        return UnitOfWork(connection, service=self._service, consumer=self.subscription.group, clock=self._clock)

    def _count(self, uow: UnitOfWork, records: int) -> None:
        metrics, labels = self._metrics, self._labels
        metrics.consumed.labels(*labels).inc(records)
        metrics.applied.labels(*labels).inc(uow.applied_events)
        metrics.duplicate.labels(*labels).inc(uow.duplicate_events)
        metrics.conflict.labels(*labels).inc(uow.conflicting_events)
        metrics.dead.labels(*labels).inc(len(uow.rejected))
        metrics.parked.inc(uow.parked_samples)
        for record, reason in uow.rejected:
            with correlated(record.correlation_id):
                log.warning("record_set_aside", group=self.subscription.group, place=record.place, reason=reason)

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Commit what was applied: these offsets, not the consumer's position, which may be further."""
        consumer = self._subscriber.consumer if self._subscriber else None
        if consumer is None:
            return
        self._position.committed.update(offsets)
        self._position.moved_at = time.monotonic()
        try:
            await consumer.commit(offsets)
        except KafkaError as error:
            # The records may be read again, here or by another member of the group; the inbox knows them.
            log.warning("offsets_not_committed", group=self.subscription.group, error=str(error))

    async def measure(self) -> ConsumerProgress:
        """Ask the broker how much is left, and note whether the position moves."""
        position = self._position
        consumer = self._subscriber.consumer if self._subscriber else None
        if consumer is None:
            return self._progress(None)
        try:
            position.lag = await asyncio.wait_for(self._lag(consumer), timeout=10)
        except (KafkaError, TimeoutError, OSError) as error:
            position.lag = None
            log.debug("lag_unknown", group=self.subscription.group, error=str(error))
        if position.lag == 0:
            position.moved_at = time.monotonic()
        self._metrics.lag.labels(*self._labels).set(position.lag if position.lag is not None else -1)
        return self._progress(position.lag)

    def _progress(self, lag: int | None) -> ConsumerProgress:
        age = time.monotonic() - self._position.moved_at
        return ConsumerProgress(
            group=self.subscription.group,
            topic=self.subscription.topic,
            lag=lag,
            position_age_seconds=round(age, 1),
            stalled=lag != 0 and age > self._stall_seconds,
        )

    async def _lag(self, consumer: AIOKafkaConsumer) -> int:
        assigned = consumer.assignment()
        known = self._position.committed
        for gone in [partition for partition in known if partition not in assigned]:
            del known[gone]
        if not assigned:
            return 0
        ends = await self._ends.of(assigned)
        missing = [partition for partition in assigned if partition not in known]
        if missing:
            beginnings = await self._ends.beginnings_of(missing)
            for partition in missing:
                committed = await consumer.committed(partition)
                known.setdefault(partition, committed if committed is not None else beginnings[partition])
        return sum(max(0, ends[partition] - known[partition]) for partition in assigned)


def _let_fetches_wait(consumer: AIOKafkaConsumer, milliseconds: int) -> None:
    """How long the broker may hold a fetch when there is nothing.

    aiokafka takes this once, at its start, and has one fetch under way per broker. Held for long, a fetch of the
    partitions that are empty holds up the one that is full; held for short, it keeps an idle stack busy.
    """
    consumer._fetcher._fetch_max_wait_ms = milliseconds  # noqa: SLF001 - there is no other way; a test watches it


async def _raw_batch(raw: tuple[ConsumerRecord[Any, Any], ...]) -> KafkaMessage:
    """Leave the records as they are: FastStream's own parser dies of a header that is not UTF-8, and skips the poll."""
    return KafkaMessage(body=b"", headers={}, raw_message=raw, consumer=FAKE_CONSUMER)


async def _undecoded(message: KafkaMessage) -> KafkaMessage:
    return message
