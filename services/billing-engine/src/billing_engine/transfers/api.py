"""Transfers over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from tallyport.access.tokens import Principal, Role, require
from tallyport.money import plain
from tallyport.observability.http import ProblemError

from billing_engine.transfers import store
from billing_engine.transfers.corrections import store as late_store
from billing_engine.transfers.model import Step, Transfer, TransferRefusedError
from billing_engine.transfers.service import TransferService, verify

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]


class TransferRequest(BaseModel):
    """Begin a transfer of ``batch_date`` (default: today), or ``resume`` a failed one, from ``from_step``."""

    batch_date: date | None = None
    resume: bool = False
    from_step: Step | None = None


def _view(transfer: Transfer, now: datetime, late_waiting: int) -> dict[str, Any]:
    return {
        "batch_date": transfer.batch_date,
        "revision": transfer.revision,
        "usage_day": transfer.usage_day,
        "as_of": transfer.as_of,
        "light": transfer.light,
        "step": transfer.step,
        "steps": [asdict(step) | {"rows_per_second": step.rows_per_second(now)} for step in transfer.steps],
        "lines": transfer.lines,
        "chunks": transfer.chunks,
        "totals": {code: plain(total) for code, total in transfer.totals.items()},
        "sha256": transfer.sha256,
        "reason": transfer.reason,
        "completeness": transfer.completeness,
        "late_waiting": late_waiting,
    }


async def _views(connection: Any, transfers: Sequence[Transfer], now: datetime, too_late: date) -> list[dict[str, Any]]:
    waiting = await late_store.waiting(connection, too_late)
    return [_view(one, now, waiting.get(one.batch_date, 0)) for one in transfers]


def transfers_router(
    pool: asyncpg.Pool[asyncpg.Record], service: TransferService, too_late: Callable[[], date]
) -> APIRouter:
    """``/v1/transfers``; ``late_waiting`` counts late values of batches after ``too_late`` that no batch has billed."""
    router = APIRouter(prefix="/v1")

    async def view(transfer: Transfer) -> dict[str, Any]:
        async with pool.acquire() as connection:
            return (await _views(connection, [transfer], service.now(), too_late()))[0]

    @router.post("/transfers", status_code=202)
    async def begin(request: TransferRequest, who: Administrator) -> dict[str, Any]:
        """Begin or resume; the answer comes at once, the light tells the rest."""
        try:
            if request.resume or request.from_step is not None:
                return await view(await service.resume(request.batch_date, request.from_step))
            return await view(await service.begin(request.batch_date, by=who.name))
        except TransferRefusedError as error:
            raise ProblemError(409, "The transfer may not begin", str(error)) from None

    @router.post("/transfers/{batch_date}/cancel")
    async def cancel(batch_date: date, who: Administrator) -> dict[str, Any]:
        """Stop a transfer whose lines are not announced yet."""
        try:
            return await view(await service.cancel(batch_date, by=who.name))
        except TransferRefusedError as error:
            raise ProblemError(409, "The transfer cannot be cancelled", str(error)) from None

    @router.get("/transfers")
    async def latest(_: Viewer, limit: int = 30) -> list[dict[str, Any]]:
        """The newest revision of the latest dates."""
        async with pool.acquire() as connection:
            transfers = await store.latest(connection, min(max(limit, 1), 400))
            return await _views(connection, transfers, service.now(), too_late())

    @router.get("/transfers/{batch_date}")
    async def one(batch_date: date, _: Viewer) -> dict[str, Any]:
        """The newest revision of a date."""
        async with pool.acquire() as connection:
            transfer = await store.newest(connection, batch_date)
        if transfer is None:
            raise ProblemError(404, "Unknown transfer", f"there is no transfer of {batch_date}")
        return await view(transfer)

    return router


def batches_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/batches``: what is frozen, and the proof that it is what it was."""
    router = APIRouter(prefix="/v1")

    @router.get("/batches")
    async def batches(
        _: Viewer,
        from_date: Annotated[date, Query(alias="from")] = date(1970, 1, 1),
        to_date: Annotated[date, Query(alias="to")] = date(9999, 12, 31),
    ) -> list[dict[str, Any]]:
        """The finished batches of a period, with the hashes that chain them."""
        async with pool.acquire() as connection:
            return await store.batches(connection, from_date, to_date)

    @router.post("/batches/{batch_date}/{revision}/verify")
    async def prove(batch_date: date, revision: int, _: Viewer) -> dict[str, Any]:
        """Hash the frozen lines anew and compare with what was announced."""
        async with pool.acquire() as connection:
            proof = await verify(connection, batch_date, revision)
        if proof is None:
            raise ProblemError(404, "Unknown batch", f"there is no batch {batch_date} revision {revision}")
        return asdict(proof)

    return router
