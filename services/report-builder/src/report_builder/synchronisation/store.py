"""The table of inventory runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from tallyport.contracts.collection import CollectionRun
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("report_builder.synchronisation")


async def note_run(connection: Any, run: CollectionRun) -> None:
    """One source was read for its inventory."""
    await connection.execute(
        _QUERIES["note_run"],
        run.run_id,
        run.source,
        run.state,
        run.started_at,
        run.finished_at,
        run.objects,
        run.customers_reached,
        sorted(run.customers_not_reached),
        max(run.customers_not_reached_count, len(run.customers_not_reached)),
        max(run.failure_count, len(run.failures)),
    )


async def run(connection: Any, run_id: str | None, until: datetime) -> list[dict[str, Any]]:
    """The sources of a run, or of the last one that was finished before ``until``."""
    return [dict(row) for row in await connection.fetch(_QUERIES["run"], run_id, until)]


async def runs(connection: Any, limit: int) -> list[dict[str, Any]]:
    """The latest runs, newest first."""
    return [dict(row) for row in await connection.fetch(_QUERIES["runs"], limit)]
