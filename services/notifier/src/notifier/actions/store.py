"""Requests, settings and the audit log in PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tallyport.contracts.actions import ActionRequest, Quote
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("notifier.actions")

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request with what became of it; ``decision`` is None while it is open."""

    request: ActionRequest
    payload_sha256: bytes
    correlation_id: str
    decision: str | None
    reason: str | None
    quote: Quote | None
    decided_at: datetime | None
    confirmation_id: str | None


async def setting(connection: Connection, action: str, customer: str) -> tuple[bool | None, bool | None]:
    """What was said of the action and of the customer's switch; None where nothing was."""
    row = await connection.fetchrow(_QUERIES["setting"], action, customer)
    return row["ticked"], row["switch_on"]


async def ticked_actions(connection: Connection) -> list[dict[str, Any]]:
    """Every action somebody ticked or unticked."""
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["ticked_actions"])]


async def tick(connection: Connection, action: str, *, ticked: bool, by: str, at: datetime) -> None:
    """Say whether an action is asked about."""
    await connection.execute(_QUERIES["tick"], action, ticked, by, at)


async def switch(connection: Connection, customer: str, *, on: bool, by: str, at: datetime) -> None:
    """Say whether a customer is asked."""
    await connection.execute(_QUERIES["switch"], customer, on, by, at)


async def lock(connection: Connection, request_id: str) -> None:
    """Work on a request alone until the transaction ends."""
    await connection.execute(_QUERIES["lock_request"], request_id)


async def find(connection: Connection, request_id: str) -> StoredRequest | None:
    """A request that was taken in."""
    row = await connection.fetchrow(_QUERIES["request"], request_id)
    if row is None:
        return None
    return StoredRequest(
        request=ActionRequest.model_validate_json(row["request"], extra="ignore"),
        payload_sha256=row["payload_sha256"],
        correlation_id=row["correlation_id"],
        decision=row["decision"],
        reason=row["reason"],
        quote=Quote.model_validate_json(row["quote"], extra="ignore") if row["quote"] else None,
        decided_at=row["decided_at"],
        confirmation_id=row["confirmation_id"],
    )


async def put(
    connection: Connection,
    request: ActionRequest,
    *,
    payload_sha256: bytes,
    correlation_id: str,
    quote: Quote | None,
    at: datetime,
) -> None:
    """Take a request in."""
    await connection.execute(
        _QUERIES["put_request"],
        request.id,
        payload_sha256,
        request.action,
        request.customer,
        request.model_dump_json(),
        correlation_id,
        at,
        quote.model_dump_json() if quote is not None else None,
    )


async def decide(
    connection: Connection, request_id: str, *, decision: str, reason: str, quote: Quote | None, at: datetime
) -> bool:
    """Enter the final word; False if there was one already."""
    value = quote.model_dump_json() if quote is not None else None
    return await connection.fetchval(_QUERIES["decide"], request_id, decision, reason, value, at) is not None


async def audit(
    connection: Connection, *, at: datetime, who: str, what: str, about: str, detail: dict[str, Any]
) -> None:
    """Note what happened."""
    await connection.execute(_QUERIES["audit"], at, who, what, about, json.dumps(detail, default=str, sort_keys=True))
