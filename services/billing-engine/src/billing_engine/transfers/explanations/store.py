"""What a line was made of, from PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from tallyport.postgres.queries import load_queries

from billing_engine.transfers.corrections.model import Line, read_lines

_QUERIES: Final = load_queries("billing_engine.transfers.explanations")

Connection = Any  # an asyncpg connection, from a pool or not
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Placed:
    """A frozen line and the chunk that holds it."""

    line: Line
    chunk: int
    chunk_sha256: str


async def newest_done(connection: Connection, batch_date: date) -> Facts | None:
    """The revision of a date that counts; None if there is none."""
    row = await connection.fetchrow(_QUERIES["newest_done"], batch_date)
    return None if row is None else dict(row.items())


async def find(connection: Connection, batch_date: date, revision: int, key: tuple[str, str, str]) -> list[Placed]:
    """The lines of a customer, unit and object."""
    return [
        Placed(line, row["sequence"], row["sha256"])
        for row in await connection.fetch(_QUERIES["chunks"], batch_date, revision, key[0])
        for line in read_lines(row["rows"])
        if (line.customer_id, line.unit, line.object_id) == key
    ]


async def unit_at(connection: Connection, service: str, unit: str, moment: datetime) -> Facts | None:
    """A billing unit as it was published at a moment, with its version; None if it was not."""
    row = await connection.fetchrow(_QUERIES["schema_at"], service, moment)
    units = [] if row is None else [one for one in json.loads(row["units"]) if one["id"] == unit]
    return {**dict(row.items()), "units": None, "unit": units[0]} if units else None


async def samples(connection: Connection, object_id: str, counter: str, day: date) -> list[Facts]:
    """What was measured of an object on a day."""
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["samples"], object_id, counter, day)]


async def status_at(connection: Connection, object_id: str, moment: datetime) -> Facts | None:
    """The status of an object at a moment, and since when."""
    row = await connection.fetchrow(_QUERIES["status_at"], object_id, moment)
    return None if row is None else dict(row.items())


async def rules_at(connection: Connection, reason: str, moment: datetime) -> list[Facts]:
    """The rules that gave a reason at a moment."""
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["rules_at"], reason, moment)]
