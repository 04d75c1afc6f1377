"""The audit log in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from tallyport.postgres.queries import load_queries

from billing_engine.audit.model import Author, Change, Entry

_QUERIES: Final = load_queries("billing_engine.audit")
_LAST: Final = 2**63 - 1

Connection = Any  # an asyncpg connection, from a pool or not


async def add(connection: Connection, changes: Sequence[Change], author: Author, at: datetime) -> None:
    """Add an entry for each of ``changes``."""
    await connection.execute(
        _QUERIES["add_entries"],
        at,
        author.name,
        author.organisation,
        author.reason,
        [change.action for change in changes],
        [change.entity for change in changes],
        [_json(change.before) for change in changes],
        [_json(change.after) for change in changes],
    )


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
    return [_entry(row) for row in await connection.fetch(_QUERIES["entries_before"], last, entity, who, since, limit)]


async def after(connection: Connection, number: int, limit: int) -> list[Entry]:
    """The entries after ``number``, oldest first."""
    return [_entry(row) for row in await connection.fetch(_QUERIES["entries_after"], number, limit)]


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _entry(row: Any) -> Entry:
    return Entry(**dict(row.items()))
