"""What waits in the directory, over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends
from tallyport.access.tokens import Principal, Role, require

from billing_engine.directory import store


def directory_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/directory``."""
    router = APIRouter(prefix="/v1/directory")

    @router.get("/waiting")
    async def waiting(_: Annotated[Principal, Depends(require(Role.VIEWER))], limit: int = 100) -> dict[str, Any]:
        """Entities whose parent has not been heard of yet."""
        async with pool.acquire() as connection:
            rows = await store.waiting(connection, min(max(limit, 1), 1000))
        return {
            "entities": [
                {"key": row["entity_key"], "waits_for": row["waits_for"], "since": row["since"]} for row in rows
            ]
        }

    return router
