"""What was seen to be bought, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tallyport.postgres.queries import load_queries

from notifier.reconciliation.model import Permit, SeenChange

_QUERIES: Final = load_queries("notifier.reconciliation")

Connection = Any  # an asyncpg connection, from a pool or not
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SeenPlan:
    """What an object has, and the record that says so; ``plan`` is None for what is not there, or no more."""

    kind: str
    id: str
    instance: str
    customer: str | None
    plan: str | None
    partition: int
    offset: int
    at: datetime


async def looking_since(connection: Connection) -> datetime | None:
    """From when on what is new is news; None while no action is asked about."""
    row = await connection.fetchrow(_QUERIES["looking_since"])
    since: datetime | None = row["since"] if row["shut"] else None
    return since


async def known(connection: Connection, keys: Sequence[Key]) -> dict[Key, tuple[str | None, int, int]]:
    """What objects had before, and the place of the record that said so."""
    rows = await connection.fetch(_QUERIES["known_plans"], [kind for kind, _ in keys], [one for _, one in keys])
    return {(row["kind"], row["id"]): (row["plan"], row["source_partition"], row["source_offset"]) for row in rows}


async def put(connection: Connection, seen: Sequence[SeenPlan]) -> None:
    """Enter what objects have."""
    columns = zip(*((s.kind, s.id, s.instance, s.customer, s.plan, s.partition, s.offset) for s in seen), strict=True)
    await connection.execute(_QUERIES["put_plans"], *(list(column) for column in columns))


async def put_changes(connection: Connection, changes: Sequence[tuple[SeenPlan, str | None]]) -> None:
    """Enter what was bought, each with the plan that it had before."""
    columns = zip(*((s.kind, s.id, s.instance, old, s.plan, s.at) for s, old in changes), strict=True)
    await connection.execute(_QUERIES["put_changes"], *(list(column) for column in columns))


async def changes(connection: Connection, since: datetime, customer: str | None, limit: int) -> list[SeenChange]:
    """What customers who are asked have bought since then."""
    return [SeenChange(**row) for row in await connection.fetch(_QUERIES["changes"], since, customer, limit)]


async def permits(connection: Connection, since: datetime, customer: str | None) -> list[Permit]:
    """What was allowed since then."""
    rows = await connection.fetch(_QUERIES["permits"], since, customer)
    return [Permit(row["customer"], row["plan"], row["quantity"], row["decided_at"]) for row in rows]


async def never_performed(
    connection: Connection, since: datetime, until: datetime, customer: str | None, limit: int
) -> list[dict[str, Any]]:
    """What was allowed in that time, and nobody told what became of it."""
    rows = await connection.fetch(_QUERIES["never_performed"], since, until, customer, limit)
    return [dict(row.items()) for row in rows]
