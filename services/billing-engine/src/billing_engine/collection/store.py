"""Collection runs in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from tallyport.contracts.collection import CollectionRun
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("billing_engine.collection")

Connection = Any  # an asyncpg connection, from a pool or not


async def put(connection: Connection, runs: Sequence[CollectionRun]) -> None:
    """Keep what was said of these runs."""
    await connection.execute(_QUERIES["put_runs"], json.dumps([run.model_dump(mode="json") for run in runs]))


async def heard_of(connection: Connection, *, known_since: datetime, since: datetime) -> dict[str, str]:
    """Every source that had a run since the one moment, and the best that was heard of it since the other."""
    rows = await connection.fetch(_QUERIES["heard_of"], known_since, since)
    return {row["source"]: row["heard"] for row in rows}


async def inventories(connection: Connection) -> list[dict[str, Any]]:
    """The newest reading of each source's inventory."""
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["inventories"])]


async def forget(connection: Connection, before: date) -> int:
    """Let go of the runs before a date, but for the newest of each source; returns how many that were."""
    dropped: int = await connection.fetchval(_QUERIES["drop_runs_before"], before)
    return dropped


async def unreached(connection: Connection, since: datetime) -> list[str]:
    """What the newest runs since then could not read, as ``source: place``."""
    return [row["place"] for row in await connection.fetch(_QUERIES["unreached"], since)]
