"""Confirmations in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from tallyport.contracts.actions import ConfirmationRequired, Quote
from tallyport.postgres.queries import load_queries

from notifier.confirmations.model import Confirmation, Ticket

_QUERIES: Final = load_queries("notifier.confirmations")

Connection = Any  # an asyncpg connection, from a pool or not


async def ask(connection: Connection, question: ConfirmationRequired, *, other_person: bool, at: datetime) -> None:
    """Enter a question."""
    await connection.execute(
        _QUERIES["ask"],
        question.confirmation_id,
        question.request_id,
        question.customer,
        question.message,
        question.message_html,
        question.language,
        question.quote.model_dump_json(),
        question.quote.sha256,
        question.confirmations_needed,
        other_person,
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
        needed=row["needed"],
        other_person=row["other_person"],
        confirmed_by=row["confirmed_by"],
    )


async def look(connection: Connection, confirmation_id: str) -> dict[str, Any] | None:
    """A question as it stands; None if there is none."""
    row = await connection.fetchrow(_QUERIES["look"], confirmation_id)
    return dict(row.items()) if row is not None else None


async def close(connection: Connection, confirmation_id: str, *, state: str, by: str | None, at: datetime) -> None:
    """Close an open question."""
    await connection.execute(_QUERIES["close"], confirmation_id, state, by, at)


async def agree(connection: Connection, confirmation_id: str, by: str) -> None:
    """Note that somebody has confirmed."""
    await connection.execute(_QUERIES["agree"], confirmation_id, by)


async def overdue(connection: Connection, now: datetime) -> list[str]:
    """Open questions whose time has run out."""
    return [row["id"] for row in await connection.fetch(_QUERIES["overdue"], now)]


async def listing(
    connection: Connection, *, state: str | None, customer: str | None, limit: int
) -> list[dict[str, Any]]:
    """Questions as consoles show them, newest first."""
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["list"], state, customer, limit)]


async def put_token(connection: Connection, digest: bytes, ticket: Ticket, *, by: str, at: datetime) -> None:
    """Enter a token by its hash."""
    values = (ticket.confirmation, ticket.person, by, at, ticket.expires_at)
    await connection.execute(_QUERIES["put_token"], digest, *values)


async def ticket(connection: Connection, digest: bytes, *, hold: bool) -> Ticket | None:
    """What a token is for; with ``hold``, nobody else uses it until the transaction ends."""
    row = await connection.fetchrow(_QUERIES["token" if hold else "look_token"], digest)
    return Ticket(**dict(row.items())) if row is not None else None


async def use_token(connection: Connection, digest: bytes, at: datetime) -> None:
    """The token has answered."""
    await connection.execute(_QUERIES["use_token"], digest, at)


async def move_tokens(connection: Connection, old: str, new: str) -> None:
    """Tokens for one question are for another one now."""
    await connection.execute(_QUERIES["move_tokens"], old, new)


async def count_attempt(connection: Connection, caller: str, at: datetime) -> tuple[int, datetime]:
    """Count an attempt to answer: how many there were in this minute, and when it began."""
    row = await connection.fetchrow(_QUERIES["count_attempt"], caller, at)
    return row["attempts"], row["begun_at"]


async def forget(connection: Connection, at: datetime) -> None:
    """Remove what no longer says anything: old attempts, and tokens that have ended."""
    await connection.execute(_QUERIES["forget_attempts"], at)
    await connection.execute(_QUERIES["forget_tokens"], at)
