"""One transaction: effects, messages to publish and records to set aside, all or nothing."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import asyncpg

from tallyport.clock import Clock
from tallyport.contracts.base import Contract
from tallyport.correlation import current_correlation
from tallyport.messaging.envelope import SOURCE_PREFIX, Envelope, new_event_id
from tallyport.messaging.record import Event, Record
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("tallyport.messaging")

MAX_MESSAGE_BYTES: Final = 6 * 1024 * 1024
MAX_REASON_CHARACTERS: Final = 2000
DEAD_LETTER_SUFFIX: Final = ".dead-letters"


Collector = Callable[[Any, list[Any]], Awaitable[None]]
"""Writes what a unit of work has collected, at its end."""


class UnitOfWork:
    """What a handler works with. Nothing it does is visible to anybody until the transaction commits."""

    def __init__(self, connection: Any, *, service: str, consumer: str, clock: Clock) -> None:
        self.connection: asyncpg.Connection[asyncpg.Record] = connection
        self.parked_samples = 0
        self.applied_events = 0
        self.duplicate_events = 0
        self.conflicting_events = 0
        self.rejected: list[tuple[Record, str]] = []
        self._source = f"{SOURCE_PREFIX}{service}"
        self._consumer = consumer
        self._clock = clock
        self._outbox: list[tuple[str, bytes | None, bytes | None, list[str], list[bytes]]] = []
        self._callbacks: list[Callable[[], Awaitable[None] | None]] = []
        self._collected: dict[Collector, list[Any]] = {}

    def now(self) -> datetime:
        """The time by the service's clock, UTC."""
        return self._clock.now()

    def publish(
        self,
        topic: str,
        *,
        key: str,
        data: Contract | None,
        event_id: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """Leave a message for the relay; ``data`` None is a tombstone. It belongs to what the work at hand belongs to.

        Order is kept per key as long as writers of a key hold a lock on what it names until they commit.

        Raises:
            ValueError: the message is larger than the broker takes.
        """
        if data is None:
            self._outbox.append((topic, key.encode(), None, [], []))
            return
        value = data.write()
        if len(value) > MAX_MESSAGE_BYTES:
            raise ValueError(f"{topic} {key}: {len(value)} bytes, at most {MAX_MESSAGE_BYTES} can be published")
        envelope = Envelope(
            id=event_id or new_event_id(),
            source=self._source,
            type=data.TYPE,
            time=self.now(),
            subject=key,
            correlation_id=correlation_id or current_correlation(),
        )
        names, values = zip(*envelope.headers(), strict=True)
        self._outbox.append((topic, key.encode(), value, list(names), list(values)))

    def reject(self, event: Event[Any] | Record, reason: str) -> None:
        """Set a record aside: its bytes and headers go to the dead letters with ``reason`` and the place it stood."""
        record = event.record if isinstance(event, Event) else event
        self.rejected.append((record, reason[:MAX_REASON_CHARACTERS]))

    def park(self, samples: int) -> None:
        """Count samples that wait for their object."""
        self.parked_samples += samples

    def after_commit(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call ``callback`` once the transaction is durable; not called if it is rolled back."""
        self._callbacks.append(callback)

    def collect(self, write: Collector, item: Any) -> None:
        """Keep ``item`` until the end; ``write`` is then called once, with this unit of work and all its items.

        For what holds a lock that others wait for: taken last, it is held for the commit only.
        """
        self._collected.setdefault(write, []).append(item)

    async def flush(self) -> None:
        """Write what was buffered; the last thing before the commit."""
        for write, items in self._collected.items():
            await write(self, items)
        self._collected.clear()
        for record, reason in self.rejected:
            await self._set_aside(record, reason)
        if self._outbox:
            await self.connection.executemany(_QUERIES["put_in_outbox"], self._outbox)
            await self.connection.execute(_QUERIES["wake_relay"])

    async def committed(self) -> None:
        """Run the callbacks; called by whoever committed the transaction."""
        for callback in self._callbacks:
            result = callback()
            if inspect.isawaitable(result):
                await result

    async def _set_aside(self, record: Record, reason: str) -> None:
        new = await self.connection.fetchval(
            _QUERIES["set_aside"],
            record.topic,
            record.partition,
            record.offset,
            hashlib.sha256(record.value or b"").digest(),
            self._consumer,
            # PostgreSQL text cannot hold NUL, and a reason may quote the record.
            reason.replace("\x00", "\ufffd"),
        )
        if not new:
            return
        place = {
            "dl_reason": reason,
            "dl_topic": record.topic,
            "dl_partition": str(record.partition),
            "dl_offset": str(record.offset),
            "dl_consumer": self._consumer,
            "dl_at": self.now().isoformat(),
        }
        # A replayed record that fails again must not carry the place it stood the first time.
        kept = [(name, value) for name, value in record.headers if not name.startswith("dl_")]
        self._outbox.append(
            (
                f"{record.topic}{DEAD_LETTER_SUFFIX}",
                record.key,
                record.value,
                [name for name, _ in kept] + list(place),
                [value or b"" for _, value in kept] + [value.encode() for value in place.values()],
            )
        )


@asynccontextmanager
async def unit_of_work(
    pool: asyncpg.Pool[asyncpg.Record], *, service: str, consumer: str, clock: Clock
) -> AsyncIterator[UnitOfWork]:
    """A unit of work in a transaction of its own: committed when the block ends, undone when it raises."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            uow = UnitOfWork(connection, service=service, consumer=consumer, clock=clock)
            yield uow
            await uow.flush()
        await uow.committed()
