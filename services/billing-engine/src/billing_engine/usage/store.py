"""Samples in PostgreSQL: one statement a poll."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from io import BytesIO
from operator import itemgetter
from typing import Any, Final

import asyncpg
import msgspec
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("billing_engine.usage")

_SAMPLE_COLUMNS: Final = (
    "day", "customer_no", "object_no", "counter_no", "measured_at", "value", "stated_at", "source_id"
)  # fmt: skip
_LOW_HALF: Final = 0xFFFFFFFF
_BY_KEY: Final = itemgetter(0)
_ENCODE: Final = msgspec.json.Encoder().encode

Connection = Any  # an asyncpg connection, from a pool or not


Shared = tuple[int, date, datetime, datetime, int]
"""What the samples of a chunk have in common: counter number, day, measured at, stated at, source number."""

Single = tuple[int, str, Shared]
"""A sample by itself: the object's key, the value as text, and the rest. Plain tuples, because of the millions."""


@dataclass(slots=True)
class Columns:
    """A poll's chunks in columns, as the statements take them.

    ``keys`` and ``numbers`` are text that PostgreSQL reads as arrays, which is faster than Python making the objects.
    """

    keys: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    shared: list[Shared] = field(default_factory=list)

    def add(self, keys: Sequence[int] | Sequence[str], values: Sequence[str], shared: Shared) -> None:
        """Add one chunk of samples, by the objects' keys or, where these are not known, by their ids."""
        if keys:
            self.keys.append(json.dumps(keys) if isinstance(keys[0], str) else "{" + ",".join(map(str, keys)) + "}")
            self.numbers.append("{" + ",".join(values) + "}")
            self.shared.append(shared)

    def parameters(self) -> tuple[Any, ...]:
        """In the order of the statements' parameters."""
        return (self.keys, self.numbers, *(zip(*self.shared, strict=True)))


async def put_samples(connection: Connection, columns: Columns) -> None:
    """Store samples of known objects: plainly first, and with care where some are there already."""
    if not columns.keys:
        return
    parameters = columns.parameters()
    try:
        async with connection.transaction():
            await connection.execute(_QUERIES["insert_samples"], *parameters)
    except asyncpg.UniqueViolationError:
        await connection.execute(_QUERIES["merge_samples"], *parameters)


async def put_singles(connection: Connection, singles: Sequence[Single]) -> None:
    """The same for samples that came one by one: COPY takes them row by row at the least price."""
    if not singles:
        return
    rows = [
        (day, key >> 32, key & _LOW_HALF, counter_no, measured, value, stated, source_id)
        for key, value, (counter_no, day, measured, stated, source_id) in sorted(singles, key=_BY_KEY)
    ]
    try:
        async with connection.transaction():
            await connection.copy_to_table(
                "usage_sample", source=BytesIO(csv_of(rows)), columns=_SAMPLE_COLUMNS, format="csv"
            )
    except asyncpg.UniqueViolationError:
        columns = Columns()
        for key, value, shared in singles:
            columns.add((key,), (value,), shared)
        await connection.execute(_QUERIES["merge_samples"], *columns.parameters())


def csv_of(rows: Sequence[tuple[Any, ...]]) -> bytes:
    """Rows as COPY reads them. Their texts hold no quote, backslash or bracket: numbers, dates and moments.

    The arrays of JSON are lines of CSV but for what stands between them, and msgspec writes a row in a tenth of the
    time that formatting its two moments takes.
    """
    return _ENCODE(rows)[2:-2].replace(b"],[", b"\n")


async def park_samples(connection: Connection, columns: Columns) -> None:
    """Keep samples of unknown objects."""
    if columns.keys:
        await connection.execute(_QUERIES["park_samples"], *columns.parameters())


async def pass_fence(connection: Connection, days: Iterable[date]) -> set[date]:
    """Which of ``days`` are closed; no day is closed before the caller's transaction ends."""
    return set(await connection.fetchval(_QUERIES["pass_fence"], list(days)))


async def shut_fence(connection: Connection) -> None:
    """Wait until what is being taken in is there; hold up the rest until the caller's transaction ends."""
    await connection.execute(_QUERIES["shut_fence"])


async def close_day(connection: Connection, day: date, batch_date: date, revision: int) -> None:
    """What arrives for ``day`` from now on is late. Needs the fence to be shut."""
    await connection.execute(_QUERIES["close_day"], day, batch_date, revision)


async def mark_late(connection: Connection, columns: Columns, singles: Sequence[Single], closed: set[date]) -> None:
    """Note of which objects there is something late, where the day of their samples is among ``closed``."""
    late = [(f"{{{key}}}", shared) for key, _, shared in singles if shared[1] in closed]
    late += [(keys, shared) for keys, shared in zip(columns.keys, columns.shared, strict=True) if shared[1] in closed]
    if late:
        keys, shared = zip(*late, strict=True)
        await connection.execute(
            _QUERIES["mark_late"], keys, [one[0] for one in shared], [one[1] for one in shared], list(closed)
        )


async def unpark_samples(connection: Connection, object_ids: Sequence[str] | None) -> int:
    """Move parked samples of ``object_ids`` (None: of all) that exist by now; returns how many. Needs the fence."""
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
