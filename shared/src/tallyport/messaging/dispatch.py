"""From raw records to a handler: envelope, contract, inbox, handler, dead letters; all in one unit of work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import asyncpg
from pydantic import ValidationError

from tallyport.messaging.envelope import Envelope, read_envelope
from tallyport.messaging.inbox import InboxKey, SourceNumbers, accept, forget
from tallyport.messaging.record import Event, Record, Tombstone, UnusableRecordError
from tallyport.messaging.unit_of_work import UnitOfWork

DEFAULT_MAX_RECORD_BYTES: Final = 1024 * 1024
MAX_ERRORS_NAMED: Final = 5

EventHandler = Callable[[UnitOfWork, Sequence[Event[Any]]], Awaitable[None]]


class Reader(Protocol):
    """Reads an event's data from JSON bytes; raises pydantic's ValidationError or ValueError."""

    def __call__(self, raw: bytes, /) -> Any:
        """The validated data."""
        ...


Refuse = Callable[[Record, str], None]
"""Told of a record that cannot be used, and why."""


class PollProcessor(Protocol):
    """Makes a poll's records into effects, in two steps: what one poll says is read while the one before is applied."""

    def read(self, records: Sequence[Record], refuse: Refuse) -> Sequence[Any]:
        """What ``records``, some of a poll in their order, say. Pure: it is done once, the effects may be retried.

        A record read by itself is one that the database has refused in company.
        """
        ...

    async def apply(self, uow: UnitOfWork, readings: Sequence[Any]) -> None:
        """Apply a poll in its unit of work. It rejects what it cannot use, and raises only what a retry may mend."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic read by one consumer group.

    ``group`` is the name without the installation's prefix. ``max_records`` bounds a poll, ``fetch_max_bytes`` what is
    read ahead.
    """

    topic: str
    group: str
    process: PollProcessor
    max_records: int = 500
    fetch_max_bytes: int = 16 * 1024 * 1024


def describe(error: ValidationError) -> str:
    """A contract violation in one line: each field's place and what is wrong with it."""
    problems = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'value'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = len(problems) - MAX_ERRORS_NAMED
    return "; ".join(problems[:MAX_ERRORS_NAMED]) + (f"; and {more} more" if more > 0 else "")


def check_size(record: Record, max_record_bytes: int) -> None:
    """Refuse a value larger than this consumer reads.

    Raises:
        UnusableRecordError: with both sizes.
    """
    size = len(record.value or b"")
    if size > max_record_bytes:
        raise UnusableRecordError(f"value: {size} bytes, at most {max_record_bytes} are read")


def reader_for(envelope: Envelope, readers: Mapping[str, Reader]) -> Reader:
    """The reader of the envelope's type.

    Raises:
        UnusableRecordError: the type, or its major version, is unknown here.
    """
    reader = readers.get(envelope.type)
    if reader is None:
        raise UnusableRecordError(
            f"header ce_type: {envelope.type!r} is not known here; known: {', '.join(sorted(readers))}"
        )
    return reader


@dataclass(frozen=True, slots=True)
class EventDispatcher:
    """A processor for ordinary topics: validates with pydantic, keeps the inbox, hands over what is new.

    ``readers`` maps a CloudEvents type to what reads its data. With ``compacted``, a record without a value is an
    event whose data is a ``Tombstone``; it has no id, so the handler must make applying it twice harmless.
    """

    handle: EventHandler
    readers: Mapping[str, Reader]
    sources: SourceNumbers
    compacted: bool = False
    max_record_bytes: int = field(default=DEFAULT_MAX_RECORD_BYTES)

    def read(self, records: Sequence[Record], refuse: Refuse) -> list[Event[Any]]:
        """The events in ``records``."""
        events: list[Event[Any]] = []
        for record in records:
            try:
                events.append(self._read(record))
            except UnusableRecordError as error:
                refuse(record, str(error))
        return events

    async def apply(self, uow: UnitOfWork, readings: Sequence[Event[Any]]) -> None:
        """Apply one poll."""
        identified = [event for event in readings if not isinstance(event.data, Tombstone)]
        numbers = await self.sources.of(event.source for event in identified)
        result = await accept(uow.connection, numbers, identified)
        uow.duplicate_events += len(result.duplicates)
        uow.conflicting_events += len(result.conflicts)
        for event in result.conflicts:
            uow.reject(event, f"conflict: id {event.id!r} of {event.source!r} was taken in with another content")
        keys: dict[int, InboxKey] = {id(event): key for key, event in result.fresh}
        fresh = [event for event in readings if id(event) in keys or isinstance(event.data, Tombstone)]
        if not fresh:
            return
        before = len(uow.rejected)
        await self.handle(uow, fresh)
        rejected = {id(record) for record, _ in uow.rejected[before:]}
        await forget(uow.connection, [keys[id(e)] for e in fresh if id(e.record) in rejected and id(e) in keys])
        uow.applied_events += len(fresh) - len(rejected)

    def _read(self, record: Record) -> Event[Any]:
        if self.compacted and record.value is None:
            key = (record.key or b"").decode(errors="replace")
            envelope = Envelope(id=record.place, source="kafka", type="tombstone", time=_timestamp(record))
            return _event(envelope, Tombstone(key), record)
        check_size(record, self.max_record_bytes)
        envelope = read_envelope(record)
        reader = reader_for(envelope, self.readers)
        try:
            data = reader(record.value or b"")
        except ValidationError as error:
            raise UnusableRecordError(describe(error)) from None
        except ValueError as error:
            raise UnusableRecordError(str(error)) from None
        return _event(envelope, data, record)


def _timestamp(record: Record) -> datetime:
    return datetime.fromtimestamp(max(record.timestamp_ms, 0) // 1000, UTC)


def _event(envelope: Envelope, data: Any, record: Record) -> Event[Any]:
    return Event(
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        time=envelope.time,
        subject=envelope.subject,
        correlation_id=envelope.correlation_id or envelope.id,
        data=data,
        record=record,
    )


POISON_ERRORS: Final[tuple[type[BaseException], ...]] = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
)
"""The database refuses the values themselves; another try would fail the same way."""
