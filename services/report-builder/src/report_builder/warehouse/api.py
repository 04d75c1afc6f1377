"""The warehouse over HTTP: what is loaded, and the proof that it was never changed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Query
from tallyport.access.tokens import Principal, Role, require
from tallyport.money import plain
from tallyport.observability.http import ProblemError

from report_builder.warehouse import service
from report_builder.warehouse.store import UnknownBatchError

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]


def warehouse_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/batches``."""
    router = APIRouter(prefix="/v1/batches")

    @router.get("")
    async def batches(
        _: Viewer,
        from_date: Annotated[date, Query(alias="from")] = date.min,
        to_date: Annotated[date, Query(alias="to")] = date.max,
    ) -> list[dict[str, Any]]:
        """Every revision of every date of the period, both ends inclusive."""
        async with pool.acquire() as connection:
            found = await service.batches(connection, from_date, to_date)  # type: ignore[arg-type]  # a proxy of one
        return [
            {**asdict(batch), "totals": {code: plain(amount) for code, amount in batch.totals.items()}}
            for batch in found
        ]

    @router.post("/{batch_date}/{revision}/verify")
    async def prove(batch_date: date, revision: int, _: Viewer) -> dict[str, Any]:
        """Make every chunk's bytes again from the columns and compare the hashes."""
        try:
            async with pool.acquire() as connection:
                return asdict(await service.verify(connection, (batch_date, revision)))  # type: ignore[arg-type]
        except UnknownBatchError as error:
            raise ProblemError(404, "Unknown batch", str(error)) from None

    return router
