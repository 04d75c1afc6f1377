"""Sources and runs over HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.observability.http import ProblemError

from usage_collector.database import Database
from usage_collector.runs import store
from usage_collector.runs.service import Collector, Worker

Viewer = Annotated[Principal, Depends(require(Role.VIEWER, Role.SERVICE))]


class Wanted(BaseModel):
    """The sources to read now; none named means all."""

    sources: list[str] = Field(default_factory=list, max_length=1000)


def _view(worker: Worker) -> dict[str, Any]:
    source = worker.source
    place = {"folder": str(source.folder)} if source.kind == "csv" else {"dsn": source.dsn}
    last = worker.schedule.last
    return {
        "name": source.name,
        "kind": source.kind,
        "every_seconds": source.every_seconds,
        **place,
        "last_look_at": last,
        "paused": worker.paused,
        "broken": worker.broken,
    }


def runs_router(collector: Collector, database: Database) -> APIRouter:
    """``/v1/sources`` and ``/v1/runs``."""
    router = APIRouter(prefix="/v1")

    @router.get("/sources")
    async def sources(_: Viewer) -> list[dict[str, Any]]:
        """Every source, and why it pauses if it does."""
        return [_view(worker) for worker in collector.workers.values()]

    @router.post("/runs", status_code=202)
    async def ask(wanted: Wanted, _: Annotated[Principal, Depends(require(Role.SERVICE))]) -> dict[str, Any]:
        """Read sources now, whatever their schedule says."""
        unknown = [name for name in wanted.sources if name not in collector.workers]
        if unknown:
            known = ", ".join(collector.workers)
            raise ProblemError(422, "Unknown source", f"there is no source {unknown[0]!r}; there are {known}")
        return {"run_ids": await collector.ask(wanted.sources)}

    @router.get("/runs")
    async def runs(_: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> list[dict[str, Any]]:
        """The newest runs first."""
        return await asyncio.to_thread(_last_runs, database, limit)

    return router


def _last_runs(database: Database, limit: int) -> list[dict[str, Any]]:
    with database.read() as connection:
        return store.last_runs(connection, limit)
