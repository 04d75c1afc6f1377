"""Taking in usage: each poll one statement, each sample once, nothing lost for want of its object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import asyncpg
from pydantic import ValidationError
from tallyport.contracts.usage import UsageChunk
from tallyport.messaging.dispatch import DEFAULT_MAX_RECORD_BYTES, check_size, describe, reader_for
from tallyport.messaging.envelope import Envelope, read_envelope
from tallyport.messaging.inbox import SourceNumbers, accept_keys
from tallyport.messaging.record import Record, UnusableRecordError
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.usage import store
from billing_engine.usage.model import Chunk, DayWindow, read_quickly, read_thoroughly

MAX_KNOWN_OBJECTS: Final = 5_000_000
"""Entries of the id dictionary before it starts afresh; a million take about 120 MB."""


class UsageService:
    """Ingest of ``usage.samples``.

    Object ids, counters, sources and days are resolved in dictionaries that read through to the database, which costs
    a tenth of joining text ids there. An object's key never changes, so an entry cannot become wrong.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], sources: SourceNumbers) -> None:
        self._pool = pool
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
        await store.unpark_samples(uow.connection, object_ids)

    async def apply_all_parked(self, uow: UnitOfWork) -> int:
        """Apply every parked sample whose object exists by now; returns how many there were.

        A sample can be parked by one transaction while another enters its object; neither sees the other's work.
        """
        return await store.unpark_samples(uow.connection, None)

    async def parked_count(self, connection: Any) -> int:
        """How many samples wait for their object."""
        return await store.parked_count(connection)

    async def __call__(self, uow: UnitOfWork, records: Sequence[Record]) -> None:
        """Apply one poll of ``usage.samples``."""
        usable: list[tuple[Record, Envelope, Chunk]] = []
        window = DayWindow.around(uow.now().date())
        for record in records:
            try:
                envelope, chunk = self._read(record, thoroughly=len(records) == 1)
                window.check(chunk.day)
            except UnusableRecordError as error:
                uow.reject(record, str(error))
            else:
                usable.append((record, envelope, chunk))
        fresh = await self._accept(uow, usable)
        if fresh:
            await self._prepare(fresh)
            await self._store(uow, fresh)
        uow.applied_events += len(fresh)

    def _read(self, record: Record, *, thoroughly: bool) -> tuple[Envelope, Chunk]:
        check_size(record, DEFAULT_MAX_RECORD_BYTES)
        envelope = read_envelope(record)
        if envelope.type != UsageChunk.TYPE:
            reader_for(envelope, {UsageChunk.TYPE: UsageChunk.read})
        raw = record.value or b""
        chunk = None if thoroughly else read_quickly(raw)
        if chunk is None:
            try:
                chunk = read_thoroughly(raw)
            except ValidationError as error:
                raise UnusableRecordError(describe(error)) from None
        return envelope, chunk

    async def _accept(
        self, uow: UnitOfWork, usable: Sequence[tuple[Record, Envelope, Chunk]]
    ) -> list[tuple[int, Envelope, Chunk]]:
        """Through the inbox: what is new, with the number of its source."""
        numbers = await self._sources.of(envelope.source for _, envelope, _ in usable)
        entries = [
            (numbers[envelope.source], envelope.id, hashlib.sha256(record.value or b"").digest())
            for record, envelope, _ in usable
        ]
        verdicts = await accept_keys(uow.connection, entries)
        fresh: list[tuple[int, Envelope, Chunk]] = []
        for (record, envelope, chunk), verdict in zip(usable, verdicts, strict=True):
            if verdict == "new":
                fresh.append((numbers[envelope.source], envelope, chunk))
            elif verdict == "duplicate":
                uow.duplicate_events += 1
            else:
                uow.conflicting_events += 1
                uow.reject(
                    record, f"conflict: id {envelope.id!r} of {envelope.source!r} was taken in with another content"
                )
        return fresh

    async def _prepare(self, fresh: Sequence[tuple[int, Envelope, Chunk]]) -> None:
        """Make sure that counters have numbers and days have room; both for good, so outside the poll's transaction."""
        counters = {chunk.counter for _, _, chunk in fresh} - self._counters.keys()
        days = {chunk.day for _, _, chunk in fresh} - self._days
        if not counters and not days:
            return
        async with self._pool.acquire() as connection:
            if counters:
                self._counters.update(await store.counter_numbers(connection, counters))
            for day in sorted(days):
                await store.ensure_day(connection, day)
        self._days |= days

    async def _store(self, uow: UnitOfWork, fresh: Sequence[tuple[int, Envelope, Chunk]]) -> None:
        resolved = [list(map(self._keys.get, chunk.object_ids)) for _, _, chunk in fresh]
        if any(None in keys for keys in resolved):
            resolved = await self._learn(uow.connection, fresh)
        known, unknown = store.Columns(), store.Columns()
        parked = 0
        for keys, (source_id, envelope, chunk) in zip(resolved, fresh, strict=True):
            shared = store.Shared(self._counters[chunk.counter], chunk.day, chunk.measured_at, envelope.time, source_id)
            if None not in keys:
                known.add("{" + ",".join(map(str, keys)) + "}", chunk.numbers, shared)
                continue
            pairs = list(zip(keys, chunk.object_ids, chunk.numbers.split(","), strict=True))
            here = [(key, number) for key, _, number in pairs if key is not None]
            away = [(object_id, number) for key, object_id, number in pairs if key is None]
            if here:
                known.add("{" + ",".join(str(k) for k, _ in here) + "}", ",".join(n for _, n in here), shared)
            unknown.add(json.dumps([one for one, _ in away]), ",".join(n for _, n in away), shared)
            parked += len(away)
        if known.keys:
            await store.put_samples(uow.connection, known)
        if parked:
            await store.park_samples(uow.connection, unknown)
            uow.park(parked)

    async def _learn(self, connection: Any, fresh: Sequence[tuple[int, Envelope, Chunk]]) -> list[list[int | None]]:
        """Ask the database about the ids this process has not met, and resolve again."""
        keys = self._keys
        strangers = {one for _, _, chunk in fresh for one in chunk.object_ids if one not in keys}
        if len(keys) + len(strangers) > MAX_KNOWN_OBJECTS:
            keys.clear()
            strangers = {one for _, _, chunk in fresh for one in chunk.object_ids}
        keys.update(await store.object_keys(connection, sorted(strangers)))
        return [list(map(keys.get, chunk.object_ids)) for _, _, chunk in fresh]
