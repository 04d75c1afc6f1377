"""Late usage over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict
from tallyport.access.tokens import Principal, Role, require
from tallyport.rest.openapi import problems

from billing_engine.transfers.corrections import store

EXAMPLE: Final[dict[str, Any]] = {
    "day": "2026-11-21", "batch_date": "2026-11-22", "revision": 1, "state": "settled", "measured": 3, "customers": 2,
    "first_seen": "2026-11-22T07:10:00Z", "last_seen": "2026-11-22T09:30:00Z",
}  # fmt: skip
Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]


class LateUsageView(BaseModel):
    """What is late of one day for one batch: values of an object and counter, and of how many customers."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    day: date
    batch_date: date
    revision: int
    state: str
    measured: int
    customers: int
    first_seen: datetime
    last_seen: datetime


def late_usage_router(pool: asyncpg.Pool[asyncpg.Record], too_late: Callable[[], date]) -> APIRouter:
    """``/v1/late-usage``; batches of ``too_late`` and before are not corrected any more."""
    router = APIRouter(prefix="/v1")

    @router.get("/late-usage", responses=problems(422))
    async def late_usage(
        _: Viewer,
        since: date = date(1970, 1, 1),
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[LateUsageView]:
        """What arrived after its batch was frozen, by day and batch: ``waiting``, ``settled`` or ``too_late``."""
        async with pool.acquire() as connection:
            found = await store.late_usage(connection, too_late(), since, limit)
        return [LateUsageView.model_validate(one) for one in found]

    return router
