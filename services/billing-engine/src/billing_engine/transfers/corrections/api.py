"""Late usage over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Query
from tallyport.access.tokens import Principal, Role, require

from billing_engine.transfers.corrections import store

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]


def late_usage_router(pool: asyncpg.Pool[asyncpg.Record], too_late: Callable[[], date]) -> APIRouter:
    """``/v1/late-usage``; batches of ``too_late`` and before are not corrected any more."""
    router = APIRouter(prefix="/v1")

    @router.get("/late-usage")
    async def late_usage(
        _: Viewer,
        since: date = date(1970, 1, 1),
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[dict[str, Any]]:
        """What arrived after its batch was frozen, by day and batch: ``waiting``, ``settled`` or ``too_late``."""
        async with pool.acquire() as connection:
            return await store.late_usage(connection, too_late(), since, limit)

    return router
