"""Taking in usage: each poll one statement, each sample once, nothing lost for want of its object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from hashlib import sha256
from itertools import chain, filterfalse
from typing import Any, Final

import asyncpg
import msgspec
from pydantic import ValidationError
from tallyport.contracts.usage import UsageChunk
from tallyport.messaging.dispatch import DEFAULT_MAX_RECORD_BYTES, Refuse, check_size, describe, reader_for
from tallyport.messaging.envelope import Envelope, read_envelope
from tallyport.messaging.inbox import SourceNumbers, accept_keys
from tallyport.messaging.record import Record, UnusableRecordError
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.usage import store
from billing_engine.usage.model import EARLIEST_DAYS_BACK, Chunk, DayWindow, are_plain, decode, read_thoroughly

MAX_KNOWN_OBJECTS: Final = 5_000_000
"""Entries of the id dictionary before it starts afresh; a million take about 120 MB."""


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A record that can be used; ``digest`` is the SHA-256 of its value."""

    record: Record
    envelope: Envelope
    digest: bytes
    chunk: Chunk


class UsageService:
    """Ingest of ``usage.samples``.

    Object ids, counters, sources and days are resolved in dictionaries that read through to the database, which costs
    a tenth of joining text ids there. An object's key never changes, so an entry cannot become wrong.
    """

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], sources: SourceNumbers, *, keep_days: int = EARLIEST_DAYS_BACK
    ) -> None:
        self._pool = pool
        self._keep_days = keep_days
        self._sources = sources
        self._keys: dict[str, int] = {}
        self._counters: dict[str, int] = {}
        self._days: set[date] = set()

    async def warm_up(self) -> None:
        """Read the object dictionary once, so that the first polls need not ask object by object."""
        async with self._pool.acquire() as connection:
            self._keys = await store.object_keys(connection, None)

    async def apply_parked(self, uow: UnitOfWork, object_ids: Sequence[str]) -> None:
        """Apply the samples that waited for ``object_ids``, which exist since this transaction."""
        await store.pass_fence(uow.connection, ())
        await store.unpark_samples(uow.connection, object_ids)

    async def close_day(self, uow: UnitOfWork, day: date, batch_date: date, revision: int) -> int:
        """Apply every parked sample whose object exists by now, and close ``day``: from here on, its samples are late.

        Returns how many were parked. A sample can be parked by one transaction while another enters its object;
        neither sees the other's work.
        """
        await store.shut_fence(uow.connection)
        moved = await store.unpark_samples(uow.connection, None)
        await store.close_day(uow.connection, day, batch_date, revision)
        return moved

    async def parked_count(self, connection: Any) -> int:
        """How many samples wait for their object."""
        return await store.parked_count(connection)

    def read(self, records: Sequence[Record], refuse: Refuse) -> list[Reading]:
        """Read ``records`` in bulk; what is not plain is looked at again by itself."""
        found: list[tuple[Record, Envelope, Chunk | None]] = []
        for record in records:
            try:
                check_size(record, DEFAULT_MAX_RECORD_BYTES)
                envelope = read_envelope(record)
                if envelope.type != UsageChunk.TYPE:
                    reader_for(envelope, {UsageChunk.TYPE: UsageChunk.read})
            except UnusableRecordError as error:
                refuse(record, str(error))
            else:
                found.append((record, envelope, decode(record.value or b"")))
        alone = len(records) == 1
        plain = not alone and are_plain([chunk for _, _, chunk in found if chunk is not None])
        readings: list[Reading] = []
        for record, envelope, chunk in found:
            value = record.value or b""
            if chunk is not None and (plain or (not alone and are_plain([chunk]))):
                usable = chunk
            else:
                try:
                    usable = read_thoroughly(value)
                except ValidationError as error:
                    refuse(record, describe(error))
                    continue
            readings.append(Reading(record, envelope, sha256(value).digest(), usable))
        return readings

    async def apply(self, uow: UnitOfWork, readings: Sequence[Reading]) -> None:
        """Apply one poll of ``usage.samples``."""
        readings = self._in_window(uow, readings)
        kinds = {(one.envelope.source, one.chunk.counter, one.chunk.day) for one in readings}
        numbers = await self._sources.of({source for source, _, _ in kinds})
        days = {day for _, _, day in kinds}
        await self._prepare({counter for _, counter, _ in kinds}, days)
        # Before anything else is locked: who closes a day waits for this transaction, and may hold up the next.
        closed = await store.pass_fence(uow.connection, days)
        fresh = await self._accept(uow, readings, numbers)
        if fresh:
            await self._store(uow, fresh, numbers, closed)
        uow.applied_events += len(fresh)

    def _in_window(self, uow: UnitOfWork, readings: Sequence[Reading]) -> Sequence[Reading]:
        window = DayWindow.around(uow.now().date(), self._keep_days)
        wrong = {day: reason for day in {one.chunk.day for one in readings} if (reason := window.why_not(day))}
        if not wrong:
            return readings
        for reading in readings:
            if reading.chunk.day in wrong:
                uow.reject(reading.record, wrong[reading.chunk.day])
        return [reading for reading in readings if reading.chunk.day not in wrong]

    async def _accept(
        self, uow: UnitOfWork, readings: Sequence[Reading], numbers: Mapping[str, int]
    ) -> Sequence[Reading]:
        """Through the inbox: what is new. ``numbers`` are those of the sources."""
        entries = [(numbers[one.envelope.source], one.envelope.id, one.digest) for one in readings]
        verdicts = await accept_keys(uow.connection, entries)
        if verdicts.count("new") == len(readings):
            return readings
        for reading, verdict in zip(readings, verdicts, strict=True):
            envelope = reading.envelope
            if verdict == "duplicate":
                uow.duplicate_events += 1
            elif verdict == "conflict":
                uow.conflicting_events += 1
                uow.reject(
                    reading.record,
                    f"conflict: id {envelope.id!r} of {envelope.source!r} was taken in with another content",
                )
        return [reading for reading, verdict in zip(readings, verdicts, strict=True) if verdict == "new"]

    async def _prepare(self, counters: set[str], days: set[date]) -> None:
        """Make sure that counters have numbers and days have room; both for good, so outside the poll's transaction."""
        new_counters, new_days = counters - self._counters.keys(), days - self._days
        if not new_counters and not new_days:
            return
        async with self._pool.acquire() as connection:
            if new_counters:
                self._counters.update(await store.counter_numbers(connection, new_counters))
            for day in sorted(new_days):
                await store.ensure_day(connection, day)
        self._days |= new_days

    async def _store(
        self, uow: UnitOfWork, fresh: Sequence[Reading], numbers: Mapping[str, int], closed: set[date]
    ) -> None:
        await self._learn(uow.connection, fresh)
        known, unknown = store.Columns(), store.Columns()
        singles: list[store.Single] = []
        key_of = self._keys.__getitem__
        for reading in fresh:
            chunk, envelope = reading.chunk, reading.envelope
            source_id, counter_no = numbers[envelope.source], self._counters[chunk.counter]
            shared = (counter_no, chunk.day, chunk.measured_at, envelope.time, source_id)
            try:
                keys = list(map(key_of, chunk.object_ids))
            except KeyError:
                uow.park(self._divide(chunk, shared, known, unknown))
                continue
            if len(keys) == 1:
                singles.append((keys[0], chunk.values[0], shared))
            else:
                known.add(keys, chunk.values, shared)
        await store.put_singles(uow.connection, singles)
        await store.put_samples(uow.connection, known)
        await store.park_samples(uow.connection, unknown)
        if closed:
            await store.mark_late(uow.connection, known, singles, closed)

    def _divide(self, chunk: Chunk, shared: store.Shared, known: store.Columns, unknown: store.Columns) -> int:
        """Put the samples of a chunk where they belong; returns how many are of unknown objects."""
        samples = list(zip(chunk.object_ids, chunk.values, strict=True))
        here = [(self._keys[one], value) for one, value in samples if one in self._keys]
        away = [(one, value) for one, value in samples if one not in self._keys]
        known.add([key for key, _ in here], [value for _, value in here], shared)
        unknown.add([one for one, _ in away], [value for _, value in away], shared)
        return len(away)

    async def _learn(self, connection: Any, fresh: Sequence[Reading]) -> None:
        """Ask the database about the ids this process has not met."""
        keys = self._keys
        ids = chain.from_iterable(one.chunk.object_ids for one in fresh)
        strangers = set(filterfalse(keys.__contains__, ids))
        if not strangers:
            return
        if len(keys) + len(strangers) > MAX_KNOWN_OBJECTS:
            keys.clear()
            strangers = set(chain.from_iterable(one.chunk.object_ids for one in fresh))
        keys.update(await store.object_keys(connection, sorted(strangers)))
