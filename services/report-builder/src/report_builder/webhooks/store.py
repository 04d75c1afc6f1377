"""The table of messages to receivers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from tallyport.postgres.queries import load_queries

from report_builder.webhooks.model import EventType, Message

_QUERIES: Final = load_queries("report_builder.webhooks")

DeliveryState = Literal["waiting", "delivered", "given_up"]


@dataclass(frozen=True, slots=True)
class Due:
    """A message to be sent now."""

    id: int
    event_id: str
    body: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to a receiver and what became of it. ``status`` is the last HTTP status, if there was one."""

    id: int
    event_id: str
    type: EventType
    state: DeliveryState
    attempts: int
    status: int | None
    error: str | None
    created_at: datetime
    next_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How a receiver stands."""

    waiting: int = 0
    delivered: int = 0
    given_up: int = 0
    last_delivered_at: datetime | None = None


async def enqueue(connection: Any, webhook: str, message: Message) -> None:
    """A message for a receiver, in the transaction of what it tells of."""
    await connection.execute(_QUERIES["enqueue"], webhook, message.event_id, message.type, message.body, message.at)


async def take(connection: Any, webhook: str, now: datetime, lease_seconds: float) -> Due | None:
    """The message that is due; nobody else tries it until the lease is over."""
    row = await connection.fetchrow(_QUERIES["take"], webhook, now, lease_seconds)
    return Due(**row) if row else None


async def settle(
    connection: Any,
    due: Due,
    state: DeliveryState,
    *,
    status: int | None,
    error: str | None,
    next_at: datetime,
    at: datetime,
) -> None:
    """What came of a try."""
    settled_at = None if state == "waiting" else at
    await connection.execute(_QUERIES["settle"], due.id, state, status, error, next_at, settled_at)


async def next_due(connection: Any, webhook: str) -> datetime | None:
    """When the next message of a receiver is due."""
    found: datetime | None = await connection.fetchval(_QUERIES["next_due"], webhook)
    return found


async def counts(connection: Any) -> dict[str, Counts]:
    """How each receiver stands that ever had a message."""
    rows = map(dict, await connection.fetch(_QUERIES["counts"]))
    return {row.pop("webhook"): Counts(**row) for row in rows}


async def deliveries(connection: Any, webhook: str, *, before: int | None, limit: int) -> list[Delivery]:
    """The messages of a receiver, newest first."""
    return [Delivery(**row) for row in await connection.fetch(_QUERIES["deliveries"], webhook, before, limit)]


async def replay(connection: Any, webhook: str, *, since: datetime, now: datetime, only_given_up: bool) -> int:
    """Send again what was settled; how many messages."""
    return int((await connection.execute(_QUERIES["replay"], webhook, since, now, only_given_up)).split()[-1])


async def forget(connection: Any, until: datetime) -> int:
    """Let settled messages go; how many."""
    return int((await connection.execute(_QUERIES["forget"], until)).split()[-1])
