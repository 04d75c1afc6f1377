"""Confirmations in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tallyport.contracts.actions import ConfirmationRequired, Quote
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("notifier.confirmations")

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One question and what became of it: open, confirmed, declined, expired or superseded."""

    id: str
    request: str
    customer: str
    state: str
    quote: Quote
    expires_at: datetime


async def ask(connection: Connection, question: ConfirmationRequired, *, at: datetime) -> None:
    """Enter a question."""
    await connection.execute(
        _QUERIES["ask"],
        question.confirmation_id,
        question.request_id,
        question.customer,
        question.message,
        question.language,
        question.quote.model_dump_json(),
        question.quote.sha256,
        at,
        question.expires_at,
    )


async def find(connection: Connection, confirmation_id: str) -> Confirmation | None:
    """A question, locked until the transaction ends."""
    row = await connection.fetchrow(_QUERIES["find"], confirmation_id)
    if row is None:
        return None
    return Confirmation(
        id=row["id"],
        request=row["request"],
        customer=row["customer"],
        state=row["state"],
        quote=Quote.model_validate_json(row["quote"], extra="ignore"),
        expires_at=row["expires_at"],
    )


async def close(connection: Connection, confirmation_id: str, *, state: str, by: str | None, at: datetime) -> None:
    """Close an open question."""
    await connection.execute(_QUERIES["close"], confirmation_id, state, by, at)


async def overdue(connection: Connection, now: datetime) -> list[str]:
    """Open questions whose time has run out."""
    return [row["id"] for row in await connection.fetch(_QUERIES["overdue"], now)]


async def listing(
    connection: Connection, *, state: str | None, customer: str | None, limit: int
) -> list[dict[str, Any]]:
    """Questions as consoles show them, newest first."""
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["list"], state, customer, limit)]
