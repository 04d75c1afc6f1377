"""Service schemas in PostgreSQL."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from tallyport.contracts.catalog import BillingUnit
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("billing_engine.billing_units")

Connection = Any  # an asyncpg connection, from a pool or not


async def lock(connection: Connection, service: str) -> None:
    """Publish alone until the transaction ends."""
    await connection.execute(_QUERIES["lock_schema"], service)


async def draft(connection: Connection, service: str) -> list[BillingUnit] | None:
    """The units as edited; None for an unknown service."""
    row = await connection.fetchrow(_QUERIES["draft"], service)
    if row is None:
        return None
    return [BillingUnit(**unit) for unit in json.loads(row["units"])]


async def put_draft(connection: Connection, service: str, units: list[Any]) -> None:
    """Edit the units."""
    await connection.execute(_QUERIES["put_draft"], service, json.dumps(units))


async def version(connection: Connection, service: str, number: int) -> dict[str, Any] | None:
    """One version; None if there is none of that number."""
    return _version(await connection.fetchrow(_QUERIES["version"], service, number))


async def history(connection: Connection, service: str, before: int | None, limit: int) -> list[dict[str, Any]]:
    """The versions, newest first, or those before one."""
    rows = await connection.fetch(_QUERIES["history"], service, before, limit)
    return [found for row in rows if (found := _version(row)) is not None]


async def newest(connection: Connection, service: str) -> dict[str, Any] | None:
    """The version that transfers use: version, units, published_at, published_by, reason; None before the first."""
    return _version(await connection.fetchrow(_QUERIES["newest_version"], service))


def _version(row: Any) -> dict[str, Any] | None:
    return None if row is None else {**dict(row.items()), "units": json.loads(row["units"])}


async def put_version(
    connection: Connection, service: str, version: int, *, units: list[Any], at: datetime, by: str, reason: str
) -> None:
    """Enter a version, for ever."""
    await connection.execute(_QUERIES["publish"], service, version, json.dumps(units), at, by, reason)
