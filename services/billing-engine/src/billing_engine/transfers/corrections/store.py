"""Late usage and corrections in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from tallyport.postgres.queries import load_queries

from billing_engine.transfers.corrections.model import Line, read_lines

_QUERIES: Final = load_queries("billing_engine.transfers.corrections")

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that late usage was found for, and the state it was computed from; ``customers`` are their numbers."""

    batch_date: date
    revision: int
    usage_day: date
    moment: datetime
    snapshot: str | None
    customers: list[int]


async def lock(connection: Connection) -> None:
    """Decide alone about what is taken over, until the transaction ends."""
    await connection.execute(_QUERIES["lock_late"])


async def current_snapshot(connection: Connection) -> tuple[str, datetime]:
    """What the caller's transaction sees, and the present moment."""
    row = await connection.fetchrow(_QUERIES["current_snapshot"])
    return row["snapshot"], row["taken_at"]


async def another_bills_late(connection: Connection, batch_date: date) -> bool:
    """Whether a transfer of another date is about to bill what came late."""
    found: bool = await connection.fetchval(_QUERIES["another_bills_late"], batch_date)
    return found


async def put_snapshot(
    connection: Connection, batch_date: date, revision: int, snapshot: str, taken_at: datetime, *, bills_late: bool
) -> None:
    """Note what a revision is computed from, and forget what it was going to correct."""
    await connection.execute(_QUERIES["put_snapshot"], batch_date, revision, snapshot, taken_at, bills_late)
    await connection.execute(_QUERIES["drop_corrections"], batch_date, revision)


async def put_extra(connection: Connection, batch: tuple[date, int], lines: int, first_chunk: int) -> None:
    """Count lines that are not about the revision's own usage day, from a chunk on."""
    await connection.execute(_QUERIES["put_extra"], *batch, lines, first_chunk)


async def taken_over_since(connection: Connection, batch_date: date, revision: int) -> date | None:
    """The date whose batch has taken over what this revision was going to deliver; None if it may still."""
    found: date | None = await connection.fetchval(_QUERIES["taken_over_since"], batch_date, revision)
    return found


async def anything_late(connection: Connection) -> bool:
    """Whether there is anything to look at."""
    found: bool = await connection.fetchval(_QUERIES["anything_late"])
    return found


async def open_batches(connection: Connection, batch_date: date, oldest: date, snapshot: str) -> list[OpenBatch]:
    """What the batch of ``batch_date`` has to look at."""
    rows = await connection.fetch(_QUERIES["open_batches"], batch_date, oldest, snapshot)
    return [OpenBatch(**dict(row.items())) for row in rows]


async def put_correction(connection: Connection, batch_date: date, revision: int, corrected: OpenBatch) -> None:
    """Note that a revision looks at ``corrected``."""
    await connection.execute(_QUERIES["put_correction"], batch_date, revision, corrected.batch_date, corrected.revision)


async def note_chunks(connection: Connection, batch: tuple[date, int], corrects: date, first: int, count: int) -> None:
    """Note that corrections of ``corrects`` are in ``count`` chunks of ``batch`` from ``first`` on."""
    await connection.execute(_QUERIES["note_chunks"], *batch, corrects, first, count)


async def too_late(connection: Connection, batch_date: date, oldest: date) -> tuple[int, list[str]]:
    """How much was found too late to be billed, and of which days."""
    row = await connection.fetchrow(_QUERIES["too_late"], batch_date, oldest)
    return row["marks"], list(row["days"])


async def customers_of(connection: Connection, numbers: Sequence[int]) -> list[tuple[int, str]]:
    """The numbers and ids of these customers, in report order; of those who had something billed."""
    rows = await connection.fetch(_QUERIES["customers_of"], list(numbers))
    return [(row["customer_no"], row["id"]) for row in rows]


async def marks(
    connection: Connection, batch_date: date, corrects: date, customers: Sequence[int]
) -> dict[str, frozenset[str]]:
    """By object, the counters of which something is late."""
    rows = await connection.fetch(_QUERIES["marks"], batch_date, corrects, list(customers))
    return {row["object_id"]: frozenset(row["counters"]) for row in rows}


async def places(
    connection: Connection, objects: Sequence[str], customers: Sequence[int]
) -> dict[str, tuple[str, str]]:
    """The customer and the service of each of ``objects`` that there is."""
    rows = await connection.fetch(_QUERIES["places"], list(objects), list(customers))
    return {row["object_id"]: (row["customer_id"], row["service"]) for row in rows}


async def frozen_lines(connection: Connection, batch_date: date, revision: int, customers: Sequence[str]) -> list[Line]:
    """The lines of ``customers`` in a frozen revision."""
    places = await connection.fetch(_QUERIES["frozen_chunks"], batch_date, revision, list(customers))
    return await _lines(connection, places, customers)


async def billed_lines(
    connection: Connection, batch_date: date, corrects: date, customers: Sequence[str]
) -> list[Line]:
    """What batches of other dates than ``batch_date`` have corrected already."""
    places = await connection.fetch(_QUERIES["billed_chunks"], batch_date, corrects)
    return await _lines(connection, places, customers)


async def _lines(connection: Connection, places: Sequence[Any], customers: Sequence[str]) -> list[Line]:
    wanted = set(customers)
    found: list[Line] = []
    for place in places:
        rows = await connection.fetchval(_QUERIES["chunk"], *place)
        found += [line for line in read_lines(rows) if line.customer_id in wanted]
    return found


async def waiting(connection: Connection, too_late: date) -> dict[date, int]:
    """How many late values of each batch after ``too_late`` wait for the next batch; those before are not corrected."""
    if not await anything_late(connection):
        return {}
    return {row["batch_date"]: row["measured"] for row in await connection.fetch(_QUERIES["waiting"], too_late)}


async def late_usage(connection: Connection, too_late: date, since: date, limit: int) -> list[dict[str, Any]]:
    """What is late by day and batch; batches up to ``too_late`` are not corrected any more."""
    rows = await connection.fetch(_QUERIES["late_usage"], too_late, since, limit)
    return [dict(row.items()) for row in rows]
