"""Each event once: what is new, what is a duplicate, what contradicts itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Literal

import asyncpg

from tallyport.messaging.envelope import inbox_id
from tallyport.messaging.record import Event
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("tallyport.messaging")

InboxKey = tuple[int, str]
"""Source number and the event id's canonical text."""


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


Verdict = Literal["new", "duplicate", "conflict"]


async def accept_keys(connection: Any, entries: Sequence[tuple[int, str, bytes]]) -> list[Verdict]:
    """Enter events, given as (source number, id, SHA-256 of the payload), into the inbox; a verdict for each.

    The same id with the same payload is a duplicate; with another payload it is a conflict, which is never applied.
    """
    keys = [(source_id, inbox_id(event_id)) for source_id, event_id, _ in entries]
    first = dict(zip(keys, (digest for _, _, digest in entries), strict=True))
    if len(first) < len(entries):
        first = {}
        for key, (_, _, digest) in zip(keys, entries, strict=True):
            first.setdefault(key, digest)
    if not first:
        return []
    new = set(first)
    try:
        # The usual case, at half the price of asking about each conflict: nothing of this was ever seen.
        async with connection.transaction():
            await _enter(connection, first)
        if len(first) == len(entries):
            return ["new"] * len(entries)
    except asyncpg.UniqueViolationError:
        columns = (_array(source for source, _ in first), _array(event_id for _, event_id in first))
        rows = await connection.fetch(_QUERIES["accept_events"], *columns, list(first.values()))
        new = {(row["source_id"], row["id"]) for row in rows}
        known = [key for key in first if key not in new]
        held = await connection.fetch(
            _QUERIES["known_hashes"], _array(source for source, _ in known), _array(event_id for _, event_id in known)
        )
        first.update(((row["source_id"], row["id"]), row["payload_sha256"]) for row in held)
    verdicts: list[Verdict] = []
    for key, (_, _, digest) in zip(keys, entries, strict=True):
        if first[key] != digest:
            verdicts.append("conflict")
        elif key in new:
            verdicts.append("new")
            new.discard(key)
        else:
            verdicts.append("duplicate")
    return verdicts


async def _enter(connection: Any, events: dict[InboxKey, bytes]) -> None:
    """Enter events that should be new; fails as a whole if one is not. In the order of the index, which spares it."""
    rows = [f"{source_id},{event_id},\\x{digest.hex()}\n" for (source_id, event_id), digest in events.items()]
    rows.sort()
    await connection.copy_to_table(
        "inbox", source=BytesIO("".join(rows).encode()), columns=("source_id", "id", "payload_sha256"), format="csv"
    )


async def accept(connection: Any, numbers: dict[str, int], events: Sequence[Event[Any]]) -> Sorted:
    """Enter ``events`` into the inbox and sort them."""
    entries = [(numbers[e.source], e.id, hashlib.sha256(e.record.value or b"").digest()) for e in events]
    found = Sorted([], [], [])
    for entry, event, verdict in zip(entries, events, await accept_keys(connection, entries), strict=True):
        match verdict:
            case "new":
                found.fresh.append(((entry[0], inbox_id(entry[1])), event))
            case "duplicate":
                found.duplicates.append(event)
            case "conflict":
                found.conflicts.append(event)
    return found


def _array(values: Iterable[object]) -> str:
    """An array literal of values that hold no comma, quote or brace; quicker than an array of objects."""
    return "{" + ",".join(map(str, values)) + "}"


async def forget(connection: Any, keys: Sequence[InboxKey]) -> None:
    """Take rejected events out of the inbox again."""
    if keys:
        await connection.execute(
            _QUERIES["forget_events"], _array(source for source, _ in keys), _array(event_id for _, event_id in keys)
        )
