"""Open questions over HTTP."""

from __future__ import annotations

import json
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends
from tallyport.access.tokens import Principal, Role, require

from notifier.confirmations import store


def confirmations_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/confirmations``."""
    router = APIRouter(prefix="/v1/confirmations")

    @router.get("")
    async def listing(
        who: Annotated[Principal, Depends(require(Role.VIEWER, Role.CUSTOMER_ADMINISTRATOR, bounded=True))],
        state: str | None = None,
        customer: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Questions, newest first; a customer's token sees that customer's only."""
        async with pool.acquire() as connection:
            rows = await store.listing(
                connection, state=state, customer=who.organisation or customer, limit=min(max(limit, 1), 1000)
            )
        return [
            {
                "confirmation_id": row["id"],
                "request_id": row["request"],
                "action": row["action"],
                "customer": row["customer"],
                "state": row["state"],
                "message": row["message"],
                "language": row["language"],
                "quote": json.loads(row["quote"]),
                "asked_at": row["asked_at"],
                "expires_at": row["expires_at"],
            }
            for row in rows
        ]

    return router
