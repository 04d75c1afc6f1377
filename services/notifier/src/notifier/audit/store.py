"""The audit log in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any, Final

from tallyport.audit import Entry
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("notifier.audit")
_LAST: Final = 2**63 - 1

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is to be noted; ``before`` and ``after`` are JSON texts."""

    at: datetime
    who: str
    organisation: str | None
    action: str
    entity: str
    before: str | None
    after: str | None
    reason: str


async def add(connection: Connection, entries: Sequence[NewEntry]) -> None:
    """Add entries in their order."""
    columns = zip(*(astuple(one) for one in entries), strict=True)
    await connection.execute(_QUERIES["add_entries"], *(list(column) for column in columns))


async def before(
    connection: Connection,
    number: int | None,
    *,
    entity: str | None,
    who: str | None,
    since: datetime | None,
    limit: int,
) -> list[Entry]:
    """The newest entries before ``number``, or the newest of all."""
    last = number if number is not None else _LAST
    rows = await connection.fetch(_QUERIES["entries_before"], last, entity, who, since, limit)
    return [Entry(**dict(row.items())) for row in rows]


async def after(connection: Connection, number: int, limit: int) -> list[Entry]:
    """The entries after ``number``, oldest first."""
    return [Entry(**dict(row.items())) for row in await connection.fetch(_QUERIES["entries_after"], number, limit)]
