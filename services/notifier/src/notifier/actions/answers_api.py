"""Answers over HTTP: by the customer's administrator, and by who holds the token of one question."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from tallyport.access.tokens import Principal, Role, TokenStore, require
from tallyport.audit import Author
from tallyport.contracts.actions import ActionRequest
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.rest.openapi import problems
from tallyport.rest.problems import PROBLEM, ProblemError

from notifier.actions import store
from notifier.actions.service import Answered, AnswerRefusedError, Gate
from notifier.actions.views import Answer, AnswerView, BoundAnswer, QuestionView, TokenView, TokenWanted
from notifier.confirmations import service as confirmations
from notifier.confirmations.service import TokenError, TooManyAttemptsError
from notifier.messages.model import candidates, direction
from notifier.messages.service import label_of

UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
Customer = Annotated[Principal, Depends(require(Role.CUSTOMER_ADMINISTRATOR, bounded=True))]

ANSWERS_PER_TOKEN: Final = 10
"""In a minute, by the token of one question: a person who reads what comes back needs two or three."""


async def _bearer(
    request: Request, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    tokens: TokenStore = request.app.state.tokens
    if scheme.lower() != "bearer" or not token.strip().startswith(confirmations.TOKEN_PREFIX):
        if scheme.lower() == "bearer" and tokens.principal(token.strip()) is not None:
            raise HTTPException(403, "this needs the token of one confirmation")
        raise _unknown()
    return token.strip()


Bearer = Annotated[str, Depends(_bearer)]


def _unknown() -> HTTPException:
    detail = "a valid token for this confirmation is needed"
    return HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})


def answer_router(unit_of_work: UnitOfWorkFactory, gate: Gate, answers_per_minute: int) -> APIRouter:
    """``/v1/confirmations/{id}/answer`` and ``/token``."""
    router = APIRouter(prefix="/v1/confirmations", tags=["confirmations"])

    @router.post("/{confirmation_id}/answer", responses=problems(409, 429))
    async def answer(confirmation_id: str, said: Answer, who: Customer) -> AnswerView:
        """Confirm or decline; it counts once. If the price has moved, the new question's id comes back."""
        if who.organisation is not None:
            await _count(unit_of_work, f"principal:{who.name}", answers_per_minute)
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
        return AnswerView.model_validate({"confirmation_id": confirmation_id, "decision": result.decision})

    @router.post("/{confirmation_id}/token", responses=problems(404))
    async def token(
        confirmation_id: str, wanted: TokenWanted, who: Annotated[Principal, Depends(require(Role.SERVICE))]
    ) -> TokenView:
        """Make a short-lived token that can read one open question and answer it once, for a person's browser."""
        async with unit_of_work() as uow:
            made = await confirmations.issue(
                uow,
                confirmation_id,
                valid_seconds=wanted.valid_seconds,
                person=wanted.person,
                by=Author(who.name, organisation=who.organisation),
            )
        if made is None:
            raise ProblemError(404, "Unknown confirmation", f"there is no open confirmation {confirmation_id!r}")
        return TokenView(token=made[0], expires_at=made[1])

    return router


def bound_router(pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory, gate: Gate) -> APIRouter:
    """``/v1/confirmation``: the one question that the bearer's token is for."""
    router = APIRouter(prefix="/v1/confirmation", tags=["confirmations"])

    @router.get("")
    async def show(bearer: Bearer, response: Response) -> QuestionView:
        """The question that the token is for, in words, with its quote."""
        response.headers["Cache-Control"] = "no-store"
        async with unit_of_work() as uow:
            now = uow.now()
        async with pool.acquire() as connection:
            try:
                ticket = await confirmations.opened_by(connection, bearer, now)
            except TokenError:
                raise _unknown() from None
            return await _question(connection, ticket.confirmation, now)

    @router.post("/answer", responses=problems(409, 429))
    async def answer(bearer: Bearer, said: BoundAnswer) -> AnswerView:
        """Confirm or decline with the token of the question, once; a price that has moved is asked about anew."""
        try:
            async with unit_of_work() as uow:
                await confirmations.opened_by(uow.connection, bearer, uow.now())
            await _count(unit_of_work, f"token:{confirmations.name_of(bearer)}", ANSWERS_PER_TOKEN)
            async with unit_of_work() as uow:
                ticket, result = await _answer(uow, gate, bearer, said)
                now = uow.now()
        except TokenError:
            raise _unknown() from None
        except AnswerRefusedError as error:
            raise ProblemError(409, "The answer is refused", str(error)) from None
        if result.asked_again is not None:
            async with pool.acquire() as connection:
                return _asked_again(await _question(connection, result.asked_again, now))  # type: ignore[return-value]
        return AnswerView.model_validate({"confirmation_id": ticket, "decision": result.decision})

    return router


async def _answer(uow: UnitOfWork, gate: Gate, bearer: str, said: BoundAnswer) -> tuple[str, Answered]:
    ticket = await confirmations.opened_by(uow.connection, bearer, uow.now(), hold=True)
    if ticket.used_at is not None:
        raise AnswerRefusedError("this token has answered; an answer counts once")
    result = await gate.answer(uow, ticket.confirmation, said.answer, by=ticket.person, quote_sha256=said.quote_sha256)
    if result.asked_again is None:
        await confirmations.use(uow, bearer)
    return ticket.confirmation, result


async def _count(unit_of_work: UnitOfWorkFactory, caller: str, limit: int) -> None:
    try:
        async with unit_of_work() as uow:
            await confirmations.count_attempt(uow, caller, limit=limit)
    except TooManyAttemptsError as error:
        raise HTTPException(429, str(error), headers={"Retry-After": str(error.retry_after)}) from None


def _asked_again(question: QuestionView) -> JSONResponse:
    """The refusal of an answer to a price that is no more, with the question that took its place."""
    detail = "the price has moved since; the new question is shown, and the same token answers it"
    body: dict[str, Any] = {"type": "about:blank", "title": "The price has moved", "status": 409, "detail": detail}
    body["confirmation"] = question.model_dump(mode="json")
    return JSONResponse(body, status_code=409, media_type=PROBLEM)


async def _question(connection: Any, confirmation_id: str, now: datetime) -> QuestionView:
    row = await confirmations.look(connection, confirmation_id)
    if row is None:
        raise _unknown()
    known = await store.find(connection, row["request"])
    request: ActionRequest | None = known.request if known is not None else None
    registered = (await store.registered_actions(connection)).get(row["action"])
    languages = candidates(row["language"], default="en")
    variant = request.variant if request is not None else None
    late = row["state"] == "open" and row["expires_at"] <= now
    return QuestionView.model_validate(
        {
            "confirmation_id": row["id"],
            "state": "expired" if late else row["state"],
            "customer": row["customer"],
            "action": row["action"],
            "action_label": label_of(row["action"], variant, languages, registered.labels if registered else {}),
            "language": row["language"],
            "direction": direction(row["language"]),
            "message_text": row["message"],
            "message_html": row["message_html"] or "",
            "quote": json.loads(row["quote"]),
            "expires_at": row["expires_at"],
            "confirmations_needed": row["needed"],
            "confirmations_given": len(row["confirmed_by"]),
        }
    )
