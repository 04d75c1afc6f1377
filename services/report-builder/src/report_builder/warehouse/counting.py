"""What can be counted in frozen batches: allocations, lines, users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from tallyport.postgres.queries import load_queries

from report_builder.warehouse.model import BatchKey

_QUERIES: Final = load_queries("report_builder.warehouse", "counts.sql")


@dataclass(frozen=True, slots=True)
class Bundle:
    """What an organisation was given of a plan, and how much of it is used; None is "no data"."""

    service: str
    plan: str
    name: str | None
    allocated: Decimal | None
    used: Decimal | None


@dataclass(frozen=True, slots=True)
class Node:
    """An organisation of a snapshot; the one that the snapshot is about has no parent."""

    id: str
    parent: str | None
    type: str
    name: str | None
    billing_id: str | None
    location: str | None
    language: str | None
    currency: str | None
    users: int


def _arrays(batches: Sequence[BatchKey]) -> tuple[list[date], list[int]]:
    return [day for day, _ in batches], [revision for _, revision in batches]


async def allocations(
    connection: Any, batches: Sequence[BatchKey], service: str | None, plans: str, *, used: bool
) -> dict[date, Decimal | None]:
    """What was allocated of the plans, or used, by date; ``plans`` as LIKE has it."""
    rows = await connection.fetch(_QUERIES["count_allocations"], *_arrays(batches), service, plans, used)
    return {row["batch_date"]: row["count"] for row in rows}


async def lines(
    connection: Any,
    batches: Sequence[BatchKey],
    service: str | None,
    plans: str,
    *,
    unit: str | None,
    statuses: Sequence[str] | None,
    users: bool,
) -> dict[date, Decimal]:
    """How many lines there are of the plans, or users who have them, by date; ``plans`` as LIKE has it."""
    sources = None if statuses is None else [f"status:{one}" for one in statuses]
    rows = await connection.fetch(_QUERIES["count_lines"], *_arrays(batches), service, plans, unit, sources, users)
    return {row["batch_date"]: Decimal(row["count"]) for row in rows}


async def nodes(connection: Any, batch: BatchKey, organisation: str | None) -> list[Node]:
    """The organisation and all below it, or everybody; those above come first."""
    return [Node(**row) for row in await connection.fetch(_QUERIES["snapshot_organisations"], *batch, organisation)]


async def bundles(connection: Any, batch: BatchKey, organisations: Sequence[str]) -> dict[str, list[Bundle]] | None:
    """What organisations have, by their ids; None when the batch says nothing of allocations."""
    if not await connection.fetchval(_QUERIES["has_allocations"], *batch):
        return None
    found: dict[str, list[Bundle]] = {}
    for customer, *values in await connection.fetch(_QUERIES["snapshot_bundles"], *batch, list(organisations)):
        found.setdefault(customer, []).append(Bundle(*values))
    return found


async def bundles_of(
    connection: Any, batch: BatchKey, customer: str, viewer: str | None
) -> tuple[str, list[Bundle]] | None:
    """The name of an organisation and what it has; None when there is none at or below ``viewer``, who may be all."""
    rows = await connection.fetch(_QUERIES["bundles_of"], *batch, customer, viewer)
    if not rows:
        return None
    name = str(rows[0]["customer_name"] or customer)
    return name, [Bundle(*values) for _, *values in rows if values[0] is not None]
