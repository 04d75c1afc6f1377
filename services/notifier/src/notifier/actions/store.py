"""Requests and settings in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from tallyport.contracts.actions import ActionRequest, PlanAdded, Quote
from tallyport.money import parse_decimal, plain
from tallyport.postgres.queries import load_queries

from notifier.actions.model import Registered, Rules
from notifier.actions.states import State

_QUERIES: Final = load_queries("notifier.actions")

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request with what became of it; ``decision`` is None while it is open."""

    request: ActionRequest
    payload_sha256: bytes
    correlation_id: str
    state: State
    decision: str | None
    reason: str | None
    quote: Quote | None
    decided_at: datetime | None
    expires_at: datetime | None
    confirmation_id: str | None
    outcome_detail: str | None = None


def _registered(labels: str, items: str) -> Registered:
    return Registered(json.loads(labels), [PlanAdded.model_validate(one, extra="ignore") for one in json.loads(items)])


def _amounts(value: str) -> dict[str, Decimal]:
    return {currency: parse_decimal(amount) for currency, amount in json.loads(value).items()}


async def rules(
    connection: Connection, about: Collection[tuple[str, str]], at: datetime
) -> dict[tuple[str, str], Rules]:
    """What is said of each action and customer of ``about``."""
    named = [list(column) for column in zip(*about, strict=True)]
    return {
        (row["action"], row["customer"]): Rules(
            ticked=bool(row["ticked"]),
            switch_on=row["switch_on"],
            other_person=bool(row["other_person"]),
            two_above=_amounts(row["two_above"]) if row["two_above"] is not None else {},
            valid_minutes=row["valid_minutes"],
            registered=_registered(row["labels"], row["items"]) if row["labels"] is not None else None,
            glass_broken=row["glass_broken"],
        )
        for row in await connection.fetch(_QUERIES["rules"], *named, at)
    }


async def ticked_actions(connection: Connection) -> list[dict[str, Any]]:
    """What somebody said of each action."""
    rows = await connection.fetch(_QUERIES["ticked_actions"])
    return [dict(row.items()) | {"two_above": _amounts(row["two_above"])} for row in rows]


async def tick(
    connection: Connection,
    action: str,
    *,
    ticked: bool,
    by: str,
    at: datetime,
    other_person: bool = False,
    two_above: Mapping[str, Decimal] | None = None,
    valid_minutes: int | None = None,
) -> None:
    """Say whether and how an action is asked about."""
    limits = json.dumps({currency: plain(amount) for currency, amount in (two_above or {}).items()})
    await connection.execute(_QUERIES["tick"], action, ticked, other_person, limits, valid_minutes, by, at)


async def registered_actions(connection: Connection) -> dict[str, Registered]:
    """The provider's own actions by name."""
    rows = await connection.fetch(_QUERIES["registered_actions"])
    return {row["action"]: _registered(row["labels"], row["items"]) for row in rows}


async def register(connection: Connection, action: str, said: Registered, *, by: str, at: datetime) -> None:
    """Enter an action of the provider's own."""
    items = json.dumps([one.model_dump(mode="json") for one in said.items])
    await connection.execute(_QUERIES["register"], action, json.dumps(dict(said.labels)), items, by, at)


async def unregister(connection: Connection, action: str, *, by: str, at: datetime) -> bool:
    """Take an action out; False if there was none."""
    return await connection.fetchval(_QUERIES["unregister"], action, by, at) is not None


async def switch(connection: Connection, customer: str, *, on: bool, by: str, at: datetime) -> None:
    """Say whether a customer is asked."""
    await connection.execute(_QUERIES["switch"], customer, on, by, at)


async def lock(connection: Connection, request_ids: Iterable[str]) -> None:
    """Work on requests alone until the transaction ends."""
    # Always in the same order: of two who want the same ones, neither waits for the other for ever.
    await connection.execute(_QUERIES["lock_requests"], sorted(request_ids))


async def find(connection: Connection, request_id: str) -> StoredRequest | None:
    """A request that was taken in."""
    return (await find_all(connection, [request_id])).get(request_id)


async def find_all(connection: Connection, request_ids: Iterable[str]) -> dict[str, StoredRequest]:
    """Those of the requests that were taken in, by id."""
    rows = await connection.fetch(_QUERIES["requests"], list(request_ids))
    return {row["id"]: _stored(row) for row in rows}


def _stored(row: Mapping[str, Any]) -> StoredRequest:
    return StoredRequest(
        request=ActionRequest.model_validate_json(row["request"], extra="ignore"),
        payload_sha256=row["payload_sha256"],
        correlation_id=row["correlation_id"],
        state=State(row["state"]),
        decision=row["decision"],
        reason=row["reason"],
        quote=Quote.model_validate_json(row["quote"], extra="ignore") if row["quote"] else None,
        decided_at=row["decided_at"],
        expires_at=row["expires_at"],
        confirmation_id=row["confirmation_id"],
        outcome_detail=row["outcome_detail"],
    )


async def put(connection: Connection, taken: Sequence[tuple[StoredRequest, datetime]]) -> None:
    """Take requests in, each at its time."""
    await connection.executemany(
        _QUERIES["put_request"],
        [
            (
                known.request.id,
                known.payload_sha256,
                known.request.action,
                known.request.customer,
                known.request.model_dump_json(),
                known.correlation_id,
                at,
                known.quote.model_dump_json() if known.quote is not None else None,
                known.state.value,
                known.decision,
                known.reason,
                known.decided_at,
                known.expires_at,
            )
            for known, at in taken
        ],
    )


async def step(connection: Connection, known: StoredRequest, before: State) -> bool:
    """Enter where a request has come to; False if it was not where it was thought to be."""
    quote = known.quote.model_dump_json() if known.quote is not None else None
    values = (known.state.value, known.decision, known.reason, quote, known.decided_at)
    return await connection.fetchval(_QUERIES["step"], known.request.id, before.value, *values) is not None


async def put_outcome(
    connection: Connection, request_id: str, before: State, after: State, *, detail: str, by: str, at: datetime
) -> bool:
    """Enter what the emitter made of it; False if it was not where it was thought to be."""
    values = (before.value, after.value, detail, by, at)
    return await connection.fetchval(_QUERIES["put_outcome"], request_id, *values) is not None


async def break_glass(connection: Connection, *, reason: str, by: str, at: datetime, until: datetime) -> int:
    """Open the gate until a time; the opening's number."""
    number: int = await connection.fetchval(_QUERIES["break_glass"], reason, by, at, until)
    return number


async def mend_glass(connection: Connection, *, by: str, at: datetime) -> list[int]:
    """Shut the gate; the numbers of the openings that end."""
    return [row["number"] for row in await connection.fetch(_QUERIES["mend_glass"], by, at)]


async def glasses(connection: Connection) -> list[dict[str, Any]]:
    """When the gate stood open, newest first."""
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["glasses"])]
