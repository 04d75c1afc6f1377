"""Explanations over HTTP."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends
from tallyport.access.tokens import Principal, Role, require
from tallyport.observability.http import ProblemError

from billing_engine.transfers.explanations.service import UnknownLineError, explain

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]


def explanations_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/lines``."""
    router = APIRouter(prefix="/v1")

    @router.get("/lines/{batch_date}/{customer}/{unit}/{object_id:path}")
    async def one(batch_date: date, customer: str, unit: str, object_id: str, _: Viewer) -> list[dict[str, Any]]:
        """The lines of a batch about one object, and where their numbers come from."""
        try:
            async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
                return await explain(connection, batch_date, customer, unit, object_id)
        except UnknownLineError as error:
            raise ProblemError(404, "Unknown line", str(error)) from None

    return router
