"""Samples in PostgreSQL: one statement a poll."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import asyncpg
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("billing_engine.usage")

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class Shared:
    """What the samples of a chunk have in common."""

    counter_no: int
    day: date
    measured_at: datetime
    stated_at: datetime
    source_id: int


@dataclass(slots=True)
class Columns:
    """A poll's chunks in columns, as the statements take them.

    ``keys`` and ``numbers`` are text that PostgreSQL reads as arrays, which is faster than Python making the objects.
    """

    keys: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    shared: list[Shared] = field(default_factory=list)

    def add(self, keys: str, numbers: str, shared: Shared) -> None:
        """Add one chunk; ``numbers`` is joined by commas."""
        self.keys.append(keys)
        self.numbers.append("{" + numbers + "}")
        self.shared.append(shared)

    def parameters(self) -> tuple[Any, ...]:
        """In the order of the statements' parameters."""
        return (
            self.keys,
            self.numbers,
            [one.counter_no for one in self.shared],
            [one.day for one in self.shared],
            [one.measured_at for one in self.shared],
            [one.stated_at for one in self.shared],
            [one.source_id for one in self.shared],
        )


async def put_samples(connection: Connection, columns: Columns) -> None:
    """Store samples of known objects: plainly first, and with care where some are there already."""
    parameters = columns.parameters()
    try:
        async with connection.transaction():
            await connection.execute(_QUERIES["insert_samples"], *parameters)
    except asyncpg.UniqueViolationError:
        await connection.execute(_QUERIES["merge_samples"], *parameters)


async def park_samples(connection: Connection, columns: Columns) -> None:
    """Keep samples of unknown objects."""
    await connection.execute(_QUERIES["park_samples"], *columns.parameters())


async def unpark_samples(connection: Connection, object_ids: Sequence[str] | None) -> int:
    """Move parked samples of ``object_ids`` (None: of all) that exist by now; returns how many."""
    tag: str = await connection.execute(_QUERIES["unpark_samples"], None if object_ids is None else list(object_ids))
    return int(tag.rpartition(" ")[2])


async def parked_count(connection: Connection) -> int:
    """How many samples wait for their object."""
    count: int = await connection.fetchval(_QUERIES["parked_count"])
    return count


async def ensure_day(connection: Connection, day: date) -> None:
    """Make room for a day's samples."""
    await connection.execute(_QUERIES["ensure_day"], day)


async def counter_numbers(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    """The numbers of counters; new names get one."""
    wanted = sorted(set(names))
    await connection.execute(_QUERIES["register_counters"], wanted)
    rows = await connection.fetch(_QUERIES["counter_numbers"], wanted)
    return {row["name"]: row["counter_no"] for row in rows}


async def object_keys(connection: Connection, ids: Sequence[str] | None) -> dict[str, int]:
    """The keys of the objects among ``ids``; None means of all there are."""
    if ids is None:
        keys: dict[str, int] = {}
        async with connection.transaction():
            async for row in connection.cursor(_QUERIES["all_object_keys"], prefetch=20_000):
                keys[row["id"]] = row["key"]
        return keys
    rows = await connection.fetch(_QUERIES["object_keys"], list(ids))
    return {row["id"]: row["key"] for row in rows}
