"""The gate: no decision, no action."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from tallyport.contracts.actions import ActionDecided, ActionRequest, ConfirmationAnswered, Quote
from tallyport.correlation import correlated
from tallyport.messaging.record import Event
from tallyport.messaging.unit_of_work import UnitOfWork

from notifier.actions import store
from notifier.actions.model import Reason, allowed_at_once
from notifier.confirmations import service as confirmations
from notifier.prices.model import Customer
from notifier.prices.service import customer_of, quote_for

log = structlog.get_logger()

TOPIC = "billable-actions.decided"


class ConflictingRequestError(ValueError):
    """The same request id with another content."""


class AnswerRefusedError(ValueError):
    """An answer that does not count; the message says why."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answer led to: the decision, or, if the price has moved, the new question."""

    decision: str | None
    asked_again: str | None = None


class Gate:
    """Decides requests, at once or after the customer's answer."""

    def __init__(self, *, valid_minutes: int) -> None:
        self._valid_minutes = valid_minutes

    async def request(self, uow: UnitOfWork, request: ActionRequest, *, correlation_id: str) -> None:
        """Take a request in: decide it, or ask. The same request again changes nothing and repeats the decision.

        Raises:
            ConflictingRequestError: the id was used for something else.
        """
        digest = hashlib.sha256(request.model_dump_json().encode()).digest()
        await store.lock(uow.connection, request.id)
        known = await store.find(uow.connection, request.id)
        if known is not None:
            if known.payload_sha256 != digest:
                raise ConflictingRequestError(f"request id {request.id!r} was used with another content")
            if known.decision is not None:
                self._announce(uow, known)
            return
        quoted = await quote_for(uow.connection, request.customer, request.items, uow.now().date())
        await store.put(
            uow.connection,
            request,
            payload_sha256=digest,
            correlation_id=correlation_id,
            quote=quoted[1] if quoted is not None else None,
            at=uow.now(),
        )
        await self._audit(uow, request.actor.id, "requested", request.id, {"action": request.action})
        if quoted is None:
            await self._decide(uow, request.id, "declined", Reason.UNKNOWN_CUSTOMER, None)
            return
        customer, quote = quoted
        ticked, switch_on = await store.setting(uow.connection, request.action, request.customer)
        # Nobody said anything: an action is not asked about, and a customer that came with its history is.
        reason = allowed_at_once(
            ticked=bool(ticked), switch_on=customer.imported if switch_on is None else switch_on, quote=quote
        )
        if reason is not None:
            await self._decide(uow, request.id, "allowed", reason, quote)
        else:
            await self._ask(uow, request, customer, quote, correlation_id)

    async def switch_is_on(self, connection: store.Connection, customer_id: str) -> bool | None:
        """Whether a customer is asked; None for a customer nobody has told of."""
        customer = await customer_of(connection, customer_id)
        if customer is None:
            return None
        _ticked, switch_on = await store.setting(connection, "", customer_id)
        return customer.imported if switch_on is None else switch_on

    async def answer(
        self,
        uow: UnitOfWork,
        confirmation_id: str,
        answer: Literal["confirm", "decline"],
        *,
        by: str,
        quote_sha256: str | None,
        customer: str | None = None,
    ) -> Answered:
        """Take the customer's answer. ``customer`` bounds whose question may be answered.

        Raises:
            AnswerRefusedError: no such open question, its time has run out, or the answer is to another quote.
        """
        question = await confirmations.find(uow, confirmation_id)
        if question is None or (customer is not None and question.customer != customer):
            raise AnswerRefusedError(f"there is no confirmation {confirmation_id!r}")
        if question.state != "open":
            raise AnswerRefusedError(f"confirmation {confirmation_id!r} is {question.state}; an answer counts once")
        if question.expires_at <= uow.now():
            raise AnswerRefusedError(f"confirmation {confirmation_id!r} has expired")
        if quote_sha256 is not None and quote_sha256 != question.quote.sha256:
            raise AnswerRefusedError("quote_sha256: the answer is to another quote than the one asked about")
        known = await store.find(uow.connection, question.request)
        if known is None:
            raise AnswerRefusedError(f"there is no request {question.request!r}")
        await self._audit(uow, by, answer, question.request, {"confirmation": confirmation_id})
        if answer == "decline":
            await confirmations.close(uow, question.id, state="declined", by=by)
            await self._decide(uow, question.request, "declined", Reason.DECLINED, question.quote)
            return Answered("declined")
        quoted = await quote_for(uow.connection, known.request.customer, known.request.items, uow.now().date())
        if quoted is None or quoted[1].sha256 != question.quote.sha256:
            await confirmations.close(uow, question.id, state="superseded", by=by)
            if quoted is None:
                await self._decide(uow, question.request, "declined", Reason.UNKNOWN_CUSTOMER, question.quote)
                return Answered("declined")
            return Answered(None, await self._ask(uow, known.request, *quoted, known.correlation_id))
        await confirmations.close(uow, question.id, state="confirmed", by=by)
        await self._decide(uow, question.request, "allowed", Reason.CONFIRMED, quoted[1])
        return Answered("allowed")

    async def expire(self, uow: UnitOfWork) -> int:
        """Decline what nobody answered in time; returns how many."""
        overdue = await confirmations.overdue(uow)
        for confirmation_id in overdue:
            question = await confirmations.find(uow, confirmation_id)
            if question is None or question.state != "open":
                continue
            await confirmations.close(uow, question.id, state="expired", by=None)
            await self._decide(uow, question.request, "declined", Reason.EXPIRED, question.quote)
        return len(overdue)

    async def on_requested(self, uow: UnitOfWork, events: Sequence[Event[ActionRequest]]) -> None:
        """``billable-actions.requested``."""
        for event in events:
            try:
                with correlated(event.correlation_id):
                    await self.request(uow, event.data, correlation_id=event.correlation_id)
            except ConflictingRequestError as error:
                uow.reject(event, f"conflict: {error}")

    async def on_answered(self, uow: UnitOfWork, events: Sequence[Event[ConfirmationAnswered]]) -> None:
        """``confirmations.answered``."""
        for event in events:
            said = event.data
            try:
                await self.answer(
                    uow,
                    said.confirmation_id,
                    said.answer,
                    by=said.answered_by,
                    quote_sha256=said.quote_sha256,
                    customer=said.customer,
                )
            except AnswerRefusedError as error:
                uow.reject(event, str(error))

    async def _ask(
        self, uow: UnitOfWork, request: ActionRequest, customer: Customer, quote: Quote, correlation_id: str
    ) -> str:
        return await confirmations.ask(
            uow, request, customer, quote, valid_minutes=self._valid_minutes, correlation_id=correlation_id
        )

    async def _decide(
        self, uow: UnitOfWork, request_id: str, decision: str, reason: Reason, quote: Quote | None
    ) -> None:
        if await store.decide(
            uow.connection, request_id, decision=decision, reason=reason.value, quote=quote, at=uow.now()
        ):
            decided = await store.find(uow.connection, request_id)
            if decided is not None:
                with correlated(decided.correlation_id):
                    log.info("action_decided", request_id=request_id, decision=decision, reason=reason.value)
                await self._audit(uow, "notifier", decision, request_id, {"reason": reason.value})
                self._announce(uow, decided)

    def _announce(self, uow: UnitOfWork, decided: store.StoredRequest) -> None:
        data = ActionDecided.model_validate(
            {
                "request_id": decided.request.id,
                "action": decided.request.action,
                "customer": decided.request.customer,
                "decision": decided.decision,
                "reason": decided.reason,
                "confirmation_id": decided.confirmation_id,
                "quote": decided.quote,
                "decided_at": decided.decided_at,
            }
        )
        # The id is the request's: however often the decision is repeated, whoever keeps an inbox acts on it once.
        uow.publish(
            TOPIC,
            key=decided.request.customer,
            data=data,
            event_id=f"decision/{decided.request.id}",
            correlation_id=decided.correlation_id,
        )

    async def _audit(self, uow: UnitOfWork, who: str, what: str, about: str, detail: dict[str, Any]) -> None:
        await store.audit(uow.connection, at=uow.now(), who=who, what=what, about=about, detail=detail)
