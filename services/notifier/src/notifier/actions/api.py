"""The gate over HTTP: requests and their outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Depends, Query, Response
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.actions import ActionOutcome, ActionRequest
from tallyport.correlation import current_correlation
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.rest.openapi import problems
from tallyport.rest.problems import ProblemError

from notifier.actions import store
from notifier.actions.model import InvalidRequestError
from notifier.actions.service import ConflictingRequestError, Gate, OutcomeRefusedError
from notifier.actions.states import State
from notifier.actions.views import Outcome, RequestView

UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
Emitter = Annotated[Principal, Depends(require(Role.SERVICE))]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER, Role.SERVICE))]

LOOK_SECONDS = 0.1
MAX_WAIT_SECONDS = 60


def _view(known: store.StoredRequest) -> RequestView:
    outcome = known.state.value if known.state in {State.PERFORMED, State.FAILED} else None
    return RequestView.model_validate(
        {
            "request_id": known.request.id,
            "state": "decided" if known.decision is not None else "open",
            "decision": known.decision,
            "reason": known.reason,
            "confirmation_id": known.confirmation_id,
            "quote": known.quote,
            "decided_at": known.decided_at,
            "expires_at": known.expires_at,
            "outcome": outcome,
            "outcome_detail": known.outcome_detail,
        }
    )


def gate_router(pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory, gate: Gate) -> APIRouter:
    """``/v1/billable-actions``."""
    router = APIRouter(prefix="/v1/billable-actions", tags=["billable actions"])

    async def find(request_id: str) -> store.StoredRequest:
        async with pool.acquire() as connection:
            known = await store.find(connection, request_id)
        if known is None:
            raise ProblemError(404, "Unknown request", f"there is no request {request_id!r}")
        return known

    @router.post("", responses=problems(409) | {202: {"model": RequestView, "description": "Somebody has to confirm."}})
    async def ask(
        request: ActionRequest,
        _: Emitter,
        response: Response,
        wait_seconds: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0,
    ) -> RequestView:
        """Ask before a billable action: 200 with the decision, or 202 while somebody has to confirm."""
        try:
            async with unit_of_work() as uow:
                await gate.request(uow, request, correlation_id=current_correlation() or request.id)
        except ConflictingRequestError as error:
            raise ProblemError(409, "Conflicting request", str(error)) from None
        except InvalidRequestError as error:
            field, _colon, message = str(error).partition(": ")
            errors = [{"field": field, "message": message}]
            raise ProblemError(422, "The request is not valid", str(error), errors) from None
        known = await find(request.id)
        until = asyncio.get_running_loop().time() + wait_seconds
        while known.decision is None and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(LOOK_SECONDS)
            known = await find(request.id)
        response.status_code = 200 if known.decision is not None else 202
        return _view(known)

    @router.get("/{request_id:path}", responses=problems(404, 422))
    async def show(request_id: str, _: Viewer) -> RequestView:
        """A request and its decision."""
        return _view(await find(request_id))

    @router.post("/{request_id:path}/outcome", responses=problems(404, 409))
    async def outcome(request_id: str, said: Outcome, who: Emitter) -> RequestView:
        """Say what became of an allowed action, once: performed or failed; saying the same again changes nothing."""
        known = await find(request_id)
        data = ActionOutcome(
            request_id=request_id, customer=known.request.customer, outcome=said.outcome, detail=said.detail
        )
        try:
            async with unit_of_work() as uow:
                await gate.outcome(uow, data, by=who.name)
        except OutcomeRefusedError as error:
            raise ProblemError(409, "The outcome is refused", str(error)) from None
        return _view(await find(request_id))

    return router
