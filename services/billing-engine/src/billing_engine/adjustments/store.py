"""Adjustments in PostgreSQL."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from tallyport.postgres.queries import load_queries

from billing_engine.adjustments.model import Adjustment, Bound

_QUERIES: Final = load_queries("billing_engine.adjustments")

Connection = Any  # an asyncpg connection, from a pool or not


async def customer_number(connection: Connection, customer: str) -> int | None:
    """A customer's number; None if there is no such customer."""
    number: int | None = await connection.fetchval(_QUERIES["customer_number"], customer)
    return number


async def put(
    connection: Connection,
    *,
    customer_no: int,
    amount: Decimal,
    currency: str,
    description: str,
    reason: str,
    service: str | None,
    reference: str | None,
    author: str,
    at: datetime,
    approved_at: datetime | None,
) -> int:
    """Enter an adjustment; returns its number."""
    values = (customer_no, amount, currency, description, reason, service, reference, author, at, approved_at)
    number: int = await connection.fetchval(_QUERIES["put_adjustment"], *values)
    return number


async def find(connection: Connection, *, customer: str | None, number: int | None, limit: int) -> list[Adjustment]:
    """Adjustments, newest first."""
    rows = await connection.fetch(_QUERIES["adjustments"], customer, number, limit)
    return [Adjustment(**dict(row.items())) for row in rows]


async def approve(connection: Connection, number: int, by: str, at: datetime) -> None:
    """Note the second person."""
    await connection.execute(_QUERIES["approve"], number, by, at)


async def withdraw(connection: Connection, number: int, by: str, at: datetime) -> None:
    """Note who took it back."""
    await connection.execute(_QUERIES["withdraw"], number, by, at)


async def withdrawn_since(connection: Connection, batch_date: date, revision: int) -> bool:
    """Whether something was withdrawn that a revision has frozen."""
    found: bool = await connection.fetchval(_QUERIES["withdrawn_since"], batch_date, revision)
    return found


async def bind(connection: Connection, batch_date: date) -> None:
    """Let a date's batch bill whatever is approved and not billed."""
    await connection.execute(_QUERIES["bind"], batch_date)


async def bound(connection: Connection, batch_date: date) -> list[Bound]:
    """What a date's batch bills."""
    return [Bound(**dict(row.items())) for row in await connection.fetch(_QUERIES["bound"], batch_date)]
