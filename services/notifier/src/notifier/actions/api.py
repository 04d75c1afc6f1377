"""The gate over HTTP: requests, settings, and the customer's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Literal

import asyncpg
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.actions import ACTIONS, ActionRequest
from tallyport.contracts.base import Sha256
from tallyport.correlation import current_correlation
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.observability.http import ProblemError

from notifier.actions import store
from notifier.actions.service import AnswerRefusedError, ConflictingRequestError, Gate

UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER, Role.SERVICE))]

LOOK_SECONDS = 0.1
MAX_WAIT_SECONDS = 60


class Ticked(BaseModel):
    """Whether an action is asked about."""

    ticked: bool


class Switch(BaseModel):
    """Whether a customer is asked."""

    on: bool


class Answer(BaseModel):
    """The customer's word. ``quote_sha256`` says which quote was seen; then an answer to another one is refused."""

    answer: Literal["confirm", "decline"]
    quote_sha256: Sha256 | None = None


def _view(known: store.StoredRequest) -> dict[str, Any]:
    return {
        "request_id": known.request.id,
        "state": "decided" if known.decision is not None else "open",
        "decision": known.decision,
        "reason": known.reason,
        "confirmation_id": known.confirmation_id,
        "quote": known.quote.model_dump(mode="json") if known.quote is not None else None,
        "decided_at": known.decided_at,
    }


def gate_router(pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory, gate: Gate) -> APIRouter:
    """``/v1/billable-actions``, ``/v1/settings/actions``, ``/v1/customers/{id}/confirmation-switch``."""
    router = APIRouter(prefix="/v1")

    async def find(request_id: str) -> store.StoredRequest:
        async with pool.acquire() as connection:
            known = await store.find(connection, request_id)
        if known is None:
            raise ProblemError(404, "Unknown request", f"there is no request {request_id!r}")
        return known

    @router.post("/billable-actions")
    async def ask(
        request: ActionRequest,
        _: Annotated[Principal, Depends(require(Role.SERVICE))],
        response: Response,
        wait_seconds: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0,
    ) -> dict[str, Any]:
        """Ask before a billable action: 200 with the decision, or 202 while somebody has to confirm."""
        try:
            async with unit_of_work() as uow:
                await gate.request(uow, request, correlation_id=current_correlation() or request.id)
        except ConflictingRequestError as error:
            raise ProblemError(409, "Conflicting request", str(error)) from None
        known = await find(request.id)
        until = asyncio.get_running_loop().time() + wait_seconds
        while known.decision is None and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(LOOK_SECONDS)
            known = await find(request.id)
        response.status_code = 200 if known.decision is not None else 202
        return _view(known)

    @router.get("/billable-actions/{request_id}")
    async def show(request_id: str, _: Viewer) -> dict[str, Any]:
        """A request and its decision."""
        return _view(await find(request_id))

    _add_settings(router, pool, unit_of_work, gate)
    return router


def _add_settings(
    router: APIRouter, pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory, gate: Gate
) -> None:
    @router.get("/settings/actions")
    async def actions(_: Viewer) -> list[dict[str, Any]]:
        """Every action, and whether it is asked about."""
        async with pool.acquire() as connection:
            said = {row["action"]: row for row in await store.ticked_actions(connection)}
        names = [*ACTIONS, *(name for name in said if name not in ACTIONS)]
        return [said.get(name, {"action": name, "ticked": False}) for name in names]

    @router.get("/settings/actions/{action}")
    async def action_setting(action: Annotated[str, Field(max_length=100)], _: Viewer) -> dict[str, Any]:
        """One action, and whether it is asked about."""
        async with pool.acquire() as connection:
            ticked, _switch = await store.setting(connection, action, "")
        return {"action": action, "ticked": bool(ticked)}

    @router.put("/settings/actions/{action}")
    async def tick(action: Annotated[str, Field(max_length=100)], wanted: Ticked, who: Administrator) -> dict[str, Any]:
        """Tick or untick an action."""
        async with unit_of_work() as uow:
            await store.tick(uow.connection, action, ticked=wanted.ticked, by=who.name, at=uow.now())
            await store.audit(
                uow.connection, at=uow.now(), who=who.name, what="tick", about=action, detail={"ticked": wanted.ticked}
            )
        return {"action": action, "ticked": wanted.ticked}

    @router.get("/customers/{customer}/confirmation-switch")
    async def switch_setting(customer: str, _: Viewer) -> dict[str, Any]:
        """Whether a customer must confirm; until somebody said, that depends on whether it was imported."""
        async with pool.acquire() as connection:
            found = await gate.switch_is_on(connection, customer)
        if found is None:
            raise ProblemError(404, "Unknown customer", f"there is no customer {customer!r}")
        return {"customer": customer, "on": found}

    @router.put("/customers/{customer}/confirmation-switch")
    async def switch(customer: str, wanted: Switch, who: Administrator) -> dict[str, Any]:
        """Say whether a customer must confirm what raises its bill."""
        async with unit_of_work() as uow:
            await store.switch(uow.connection, customer, on=wanted.on, by=who.name, at=uow.now())
            await store.audit(
                uow.connection, at=uow.now(), who=who.name, what="switch", about=customer, detail={"on": wanted.on}
            )
        return {"customer": customer, "on": wanted.on}


def answer_router(unit_of_work: UnitOfWorkFactory, gate: Gate) -> APIRouter:
    """``/v1/confirmations/{id}/answer``."""
    router = APIRouter(prefix="/v1/confirmations")

    @router.post("/{confirmation_id}/answer")
    async def answer(
        confirmation_id: str,
        said: Answer,
        who: Annotated[Principal, Depends(require(Role.CUSTOMER_ADMINISTRATOR, bounded=True))],
    ) -> dict[str, Any]:
        """Confirm or decline; it counts once. If the price has moved, the new question's id comes back."""
        try:
            async with unit_of_work() as uow:
                result = await gate.answer(
                    uow,
                    confirmation_id,
                    said.answer,
                    by=who.name,
                    quote_sha256=said.quote_sha256,
                    customer=who.organisation,
                )
        except AnswerRefusedError as error:
            raise ProblemError(409, "The answer is refused", str(error)) from None
        if result.asked_again is not None:
            detail = f"the price has moved since; confirm the new quote: confirmation {result.asked_again}"
            raise ProblemError(409, "The price has moved", detail)
        return {"confirmation_id": confirmation_id, "decision": result.decision}

    return router
