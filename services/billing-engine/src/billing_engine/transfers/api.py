"""Transfers over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from tallyport.access.tokens import Principal, Role, require
from tallyport.money import plain
from tallyport.observability.http import ProblemError
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor
from tallyport.rest.reasons import Reason

from billing_engine.transfers import store
from billing_engine.transfers.corrections import store as late_store
from billing_engine.transfers.model import Transfer, TransferRefusedError
from billing_engine.transfers.service import TransferService, verify
from billing_engine.transfers.views import BatchView, ProofView, TransferRequest, TransferView

MAX_BATCHES: Final = 10_000
"""In one answer: a batch a day for 27 years, so that who follows no links still sees them all."""

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]


def _view(transfer: Transfer, now: datetime, late_waiting: int) -> TransferView:
    told: dict[str, Any] = {
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
    return TransferView.model_validate(told)


async def _views(connection: Any, transfers: Sequence[Transfer], now: datetime, too_late: date) -> list[TransferView]:
    waiting = await late_store.waiting(connection, too_late)
    return [_view(one, now, waiting.get(one.batch_date, 0)) for one in transfers]


def transfers_router(
    pool: asyncpg.Pool[asyncpg.Record], service: TransferService, too_late: Callable[[], date]
) -> APIRouter:
    """``/v1/transfers``; ``late_waiting`` counts late values of batches after ``too_late`` that no batch has billed."""
    router = APIRouter(prefix="/v1", tags=["transfers"])

    async def view(transfer: Transfer) -> TransferView:
        async with pool.acquire() as connection:
            return (await _views(connection, [transfer], service.now(), too_late()))[0]

    @router.post("/transfers", status_code=202, responses=problems(409))
    async def begin(request: TransferRequest, who: Administrator, reason: Reason) -> TransferView:
        """Begin or resume; the answer comes at once, the light tells the rest."""
        try:
            if request.resume or request.from_step is not None:
                return await view(await service.resume(request.batch_date, request.from_step, by=who.name, why=reason))
            return await view(await service.begin(request.batch_date, by=who.name, why=reason))
        except TransferRefusedError as error:
            raise ProblemError(409, "The transfer may not begin", str(error)) from None

    @router.post("/transfers/{batch_date}/cancel", responses=problems(409, 422))
    async def cancel(batch_date: date, who: Administrator, reason: Reason) -> TransferView:
        """Stop a transfer whose lines are not announced yet."""
        try:
            return await view(await service.cancel(batch_date, by=who.name, why=reason))
        except TransferRefusedError as error:
            raise ProblemError(409, "The transfer cannot be cancelled", str(error)) from None

    @router.get("/transfers", responses=problems(422))
    async def latest(
        _: Viewer, request: Request, response: Response, limit: int = 30, after: After = None
    ) -> list[TransferView]:
        """The newest revision of the latest dates."""
        some, cursor = min(max(limit, 1), 400), _dates(after)
        async with pool.acquire() as connection:
            found = await store.latest(connection, some + 1, before=cursor[0] if cursor is not None else None)
            shown = page(request, response, found, some, lambda one: cursor_of(str(one.batch_date), one.revision))
            return await _views(connection, shown, service.now(), too_late())

    @router.get("/transfers/{batch_date}", responses=problems(404, 422))
    async def one(batch_date: date, _: Viewer) -> TransferView:
        """The newest revision of a date."""
        async with pool.acquire() as connection:
            transfer = await store.newest(connection, batch_date)
        if transfer is None:
            raise ProblemError(404, "Unknown transfer", f"there is no transfer of {batch_date}")
        return await view(transfer)

    return router


def batches_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/batches``: what is frozen, and the proof that it is what it was."""
    router = APIRouter(prefix="/v1", tags=["batches"])

    @router.get("/batches", responses=problems(422))
    async def batches(
        _: Viewer,
        *,
        request: Request,
        response: Response,
        from_date: Annotated[date, Query(alias="from")] = date(1970, 1, 1),
        to_date: Annotated[date, Query(alias="to")] = date(9999, 12, 31),
        limit: Annotated[int, Query(ge=1, le=MAX_BATCHES)] = MAX_BATCHES,
        after: After = None,
    ) -> list[BatchView]:
        """The finished batches of a period, with the hashes that chain them."""
        async with pool.acquire() as connection:
            found = await store.batches(connection, from_date, to_date, after=_dates(after), limit=limit + 1)
        shown = page(
            request, response, found, limit, lambda one: cursor_of(str(one["batch_date"]), int(one["revision"]))
        )
        return [BatchView.model_validate(one) for one in shown]

    @router.post("/batches/{batch_date}/{revision}/verify", responses=problems(404, 422))
    async def prove(batch_date: date, revision: Annotated[int, Path(ge=1, le=2**31 - 1)], _: Viewer) -> ProofView:
        """Hash the frozen lines anew and compare with what was announced."""
        async with pool.acquire() as connection:
            proof = await verify(connection, batch_date, revision)
        if proof is None:
            raise ProblemError(404, "Unknown batch", f"there is no batch {batch_date} revision {revision}")
        return ProofView.model_validate(asdict(proof))

    return router


def _dates(after: str | None) -> tuple[date, int] | None:
    cursor = read_cursor(after, str, int)
    if cursor is None:
        return None
    try:
        return date.fromisoformat(cursor[0]), cursor[1]
    except ValueError:
        raise ProblemError(422, "The request is not valid", "after: this is not a cursor of this list") from None
