"""Inventory runs over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict
from tallyport.access.tokens import Principal, Role, require

from report_builder.synchronisation import service

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
_EXAMPLE: Final[dict[str, Any]] = {
    "run_id": "nightly-20261122",
    "started_at": "2026-11-22T02:00:00Z",
    "finished_at": "2026-11-22T02:04:10Z",
    "sources": 2,
    "objects": 1204,
    "customers_reached": 87,
    "customers_not_reached": 1,
}


class RunView(BaseModel):
    """An inventory run: all its sources together."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    run_id: str
    started_at: datetime
    finished_at: datetime
    sources: int
    objects: int
    customers_reached: int
    customers_not_reached: int


def synchronisations_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/synchronisations``."""
    router = APIRouter(prefix="/v1/synchronisations")

    @router.get("")
    async def latest(_: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 30) -> list[RunView]:
        """The latest inventory runs, newest first; a synchronisation report is about one of them."""
        async with pool.acquire() as connection:
            return [RunView(**one) for one in await service.runs(connection, limit)]

    return router
