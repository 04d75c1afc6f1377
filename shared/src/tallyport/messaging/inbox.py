"""Each event once: what is new, what is a duplicate, what contradicts itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from tallyport.messaging.envelope import inbox_id
from tallyport.messaging.record import Event
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("tallyport.messaging")

InboxKey = tuple[int, UUID]


@dataclass(frozen=True, slots=True)
class Sorted:
    """A poll's events by what the inbox says of them; ``fresh`` in the order they came."""

    fresh: list[tuple[InboxKey, Event[Any]]]
    duplicates: list[Event[Any]]
    conflicts: list[Event[Any]]


class SourceNumbers:
    """The number of each event source, kept once read: they never change."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._numbers: dict[str, int] = {}

    async def of(self, sources: Iterable[str]) -> dict[str, int]:
        """The numbers of ``sources``; new ones are registered in a transaction of their own, so that they stay."""
        unknown = sorted({source for source in sources if source not in self._numbers})
        if unknown:
            async with self._pool.acquire() as connection:
                await connection.execute(_QUERIES["register_sources"], unknown)
                rows = await connection.fetch(_QUERIES["source_numbers"], unknown)
            self._numbers.update((row["source"], row["source_id"]) for row in rows)
        return self._numbers


async def accept(
    connection: asyncpg.Connection[asyncpg.Record], numbers: dict[str, int], events: Sequence[Event[Any]]
) -> Sorted:
    """Enter ``events`` into the inbox and sort them.

    The same id with the same payload is a duplicate; with another payload it is a conflict, which is never applied.
    """
    first: dict[InboxKey, tuple[bytes, Event[Any]]] = {}
    duplicates: list[Event[Any]] = []
    conflicts: list[Event[Any]] = []
    for event in events:
        key = (numbers[event.source], inbox_id(event.id))
        digest = hashlib.sha256(event.record.value or b"").digest()
        seen = first.setdefault(key, (digest, event))
        if seen[1] is not event:
            (duplicates if seen[0] == digest else conflicts).append(event)
    if not first:
        return Sorted([], duplicates, conflicts)
    rows = await connection.fetch(
        _QUERIES["accept_events"],
        [key[0] for key in first],
        [key[1] for key in first],
        [digest for digest, _ in first.values()],
    )
    new = {(row["source_id"], row["id"]) for row in rows}
    known = [key for key in first if key not in new]
    if known:
        held = await connection.fetch(_QUERIES["known_hashes"], [key[0] for key in known], [key[1] for key in known])
        for row in held:
            digest, event = first[row["source_id"], row["id"]]
            (duplicates if row["payload_sha256"] == digest else conflicts).append(event)
    return Sorted([(key, event) for key, (_, event) in first.items() if key in new], duplicates, conflicts)


async def forget(connection: asyncpg.Connection[asyncpg.Record], keys: Sequence[InboxKey]) -> None:
    """Take rejected events out of the inbox again."""
    if keys:
        await connection.execute(_QUERIES["forget_events"], [key[0] for key in keys], [key[1] for key in keys])
