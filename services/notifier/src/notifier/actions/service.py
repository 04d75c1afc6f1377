"""The gate: no decision, no action."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Literal

import structlog
from tallyport.audit import Author, Change
from tallyport.contracts.actions import ActionDecided, ActionOutcome, ActionRequest
from tallyport.correlation import correlated
from tallyport.messaging.unit_of_work import UnitOfWork

from notifier.actions import store
from notifier.actions.model import (
    Reason,
    Rules,
    allowed_at_once,
    confirmations_needed,
    items_of,
    refused,
)
from notifier.actions.states import State, Step, after
from notifier.actions.store import StoredRequest
from notifier.audit.service import GATE, record
from notifier.confirmations import service as confirmations
from notifier.confirmations.model import Confirmation
from notifier.confirmations.service import Terms
from notifier.messages.service import Messages
from notifier.prices.service import Prices, Quoted, prices_of, quote_for

log = structlog.get_logger()

TOPIC = "billable-actions.decided"


class ConflictingRequestError(ValueError):
    """The same request id with another content."""


class AnswerRefusedError(ValueError):
    """An answer that does not count; the message says why."""


class OutcomeRefusedError(ValueError):
    """An outcome of what was never allowed, or another one than was said before."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answer led to: the decision, the new question if the price has moved, or a wait for a second person."""

    decision: str | None
    asked_again: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of requests that have come together; those that are taken in are added."""

    requests: dict[str, StoredRequest]
    rules: Mapping[tuple[str, str], Rules]
    prices: Prices


async def look_up(uow: UnitOfWork, requests: Sequence[ActionRequest]) -> Known:
    """Read everything that the requests need at once, and hold them until the transaction ends."""
    ids = {one.id for one in requests}
    await store.lock(uow.connection, ids)
    found = await store.find_all(uow.connection, ids)
    rules = await store.rules(uow.connection, {(one.action, one.customer) for one in requests}, uow.now())
    registered = [one.registered.items for one in rules.values() if one.registered is not None]
    items = chain.from_iterable([*(one.items for one in requests), *registered])
    prices = await prices_of(uow.connection, {one.customer for one in requests}, items)
    return Known(found, rules, prices)


class Gate:
    """Decides requests, at once or after the customer's answer. ``staff_roles`` are those of the provider's people."""

    def __init__(self, *, valid_minutes: int, messages: Messages, staff_roles: frozenset[str] = frozenset()) -> None:
        self._valid_minutes = valid_minutes
        self._messages = messages
        self._staff_roles = staff_roles

    async def request(self, uow: UnitOfWork, request: ActionRequest, *, correlation_id: str) -> None:
        """Take one request in: decide it, or ask. The same again changes nothing and repeats the decision.

        Raises:
            ConflictingRequestError: the id was used for something else.
            InvalidRequestError: it does not say what it adds to the bill, or names a variant that there is not.
        """
        await self.take(uow, request, await look_up(uow, [request]), correlation_id=correlation_id)

    async def take(self, uow: UnitOfWork, request: ActionRequest, known: Known, *, correlation_id: str) -> None:
        """Take a request in, of which everything is known; raises as ``request`` does, before anything is changed."""
        digest = _digest(request)
        before = known.requests.get(request.id)
        if before is not None:
            if before.payload_sha256 != digest:
                raise ConflictingRequestError(f"request id {request.id!r} was used with another content")
            if before.decision is not None:
                self._announce(uow, before)
            return
        rules = known.rules[request.action, request.customer]
        quoted = known.prices.quote(request.customer, items_of(request, rules), uow.now().date())
        new = StoredRequest(
            request=request,
            payload_sha256=digest,
            correlation_id=correlation_id,
            state=State.NEW,
            decision=None,
            reason=None,
            quote=quoted.quote if quoted is not None else None,
            decided_at=None,
            expires_at=None,
            confirmation_id=None,
        )
        self._note(uow, Author(request.actor.id), "requested", request.id, {"action": request.action})
        step, reason = self._first_step(request, rules, quoted)
        if reason is not None:
            decided = known.requests[request.id] = _stepped(uow, new, step, reason)
            uow.collect(_put, (decided, uow.now()))
            self._decided(uow, decided)
        elif quoted is not None:
            expires_at = uow.now() + timedelta(minutes=rules.valid_minutes or self._valid_minutes)
            asked = known.requests[request.id] = replace(_stepped(uow, new, step), expires_at=expires_at)
            await store.put(uow.connection, [(asked, uow.now())])
            needed = confirmations_needed(quoted.quote, rules.two_above)
            labels = rules.registered.labels if rules.registered is not None else None
            terms = Terms(expires_at, needed, rules.other_person, labels)
            await confirmations.ask(uow, self._messages, request, quoted, terms, correlation_id=correlation_id)

    def _first_step(self, request: ActionRequest, rules: Rules, quoted: Quoted | None) -> tuple[Step, Reason | None]:
        """What happens to a new request, and why; no reason means that somebody is asked."""
        nobody = refused(request.action, rules, customer_known=quoted is not None)
        if nobody is not None or quoted is None:
            return (Step.PASS, Reason.BREAK_GLASS) if rules.glass_broken else (Step.REFUSE, nobody)
        # Nobody said anything: an action is not asked about, and a customer that came with its history is.
        reason = allowed_at_once(
            ticked=rules.ticked,
            switch_on=quoted.customer.imported if rules.switch_on is None else rules.switch_on,
            quote=quoted.quote,
            staff=request.actor.role in self._staff_roles,
        )
        if reason is None and rules.glass_broken:
            reason = Reason.BREAK_GLASS
        return (Step.PASS, reason) if reason is not None else (Step.ASK, None)

    async def answer(
        self,
        uow: UnitOfWork,
        confirmation_id: str,
        answer: Literal["confirm", "decline"],
        *,
        by: str | None,
        quote_sha256: str | None,
        customer: str | None = None,
    ) -> Answered:
        """Take the customer's answer. ``customer`` bounds whose question may be answered, ``by`` is who answers.

        Raises:
            AnswerRefusedError: no such open question, its time has run out, the answer is to another quote, or this
                person may not confirm.
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
        who = Author(by or "whoever held the token", organisation=question.customer)
        if answer == "confirm":
            _may_confirm(question, known.request, by)
            return await self._confirmed(uow, known, question, who)
        self._note(uow, who, "answered", known.request.id, {"answer": answer, "confirmation": confirmation_id})
        await confirmations.close(uow, question.id, state="declined", by=who.name)
        await self._step(uow, known, Step.NO, Reason.DECLINED)
        return Answered("declined")

    async def _confirmed(self, uow: UnitOfWork, known: StoredRequest, question: Confirmation, who: Author) -> Answered:
        about = (known.request.action, known.request.customer)
        rules = (await store.rules(uow.connection, [about], uow.now()))[about]
        # What was asked about is what the request said then; a registration may have been taken back since.
        items = known.request.items or items_of(known.request, rules)
        quoted = await quote_for(uow.connection, known.request.customer, items, uow.now().date())
        note = {"answer": "confirm", "confirmation": question.id}
        if quoted is not None and quoted.quote.sha256 != question.quote.sha256:
            self._note(uow, who, "answered", known.request.id, note | {"refused": "the price has moved"})
            await confirmations.close(uow, question.id, state="superseded", by=who.name)
            await self._step(uow, replace(known, quote=quoted.quote), Step.PRICE_MOVED)
            # It does not stay open longer than the emitter was told.
            needed = max(question.needed, confirmations_needed(quoted.quote, rules.two_above))
            labels = rules.registered.labels if rules.registered is not None else None
            terms = Terms(question.expires_at, needed, question.other_person, labels)
            again = await confirmations.ask(
                uow, self._messages, known.request, quoted, terms, correlation_id=known.correlation_id
            )
            await confirmations.supersede(uow, question.id, again)
            return Answered(None, again)
        self._note(uow, who, "answered", known.request.id, note)
        if quoted is None:
            await confirmations.close(uow, question.id, state="superseded", by=who.name)
            await self._step(uow, known, Step.REFUSE, Reason.UNKNOWN_CUSTOMER)
            return Answered("declined")
        await confirmations.agree(uow, question.id, who.name)
        if len(question.confirmed_by) + 1 < question.needed:
            await self._step(uow, known, Step.FIRST_YES)
            return Answered(None)
        await confirmations.close(uow, question.id, state="confirmed", by=who.name)
        await self._step(uow, known, Step.YES, Reason.CONFIRMED)
        return Answered("allowed")

    async def expire(self, uow: UnitOfWork) -> int:
        """Decline what nobody answered in time; returns how many."""
        overdue = await confirmations.overdue(uow)
        for confirmation_id in overdue:
            question = await confirmations.find(uow, confirmation_id)
            if question is None or question.state != "open":
                continue
            known = await store.find(uow.connection, question.request)
            await confirmations.close(uow, question.id, state="expired", by=None)
            if known is not None:
                await self._step(uow, known, Step.TIME_OUT, Reason.EXPIRED)
        return len(overdue)

    async def outcome(self, uow: UnitOfWork, said: ActionOutcome, *, by: str) -> None:
        """Note what the emitter made of an allowed action. The same again changes nothing.

        Raises:
            OutcomeRefusedError: it was not allowed, or something else was said of it before.
        """
        known = await store.find(uow.connection, said.request_id)
        if known is None or known.request.customer != said.customer:
            raise OutcomeRefusedError(f"there is no request {said.request_id!r}")
        wanted = State(said.outcome)
        if known.state is wanted:
            return
        if known.state is not State.ALLOWED:
            raise OutcomeRefusedError(f"request {said.request_id!r} is {known.state.value}, not allowed")
        step = after(known.state, Step.PERFORMED if wanted is State.PERFORMED else Step.FAILED)
        if not await store.put_outcome(
            uow.connection, said.request_id, known.state, step, detail=said.detail, by=by, at=uow.now()
        ):
            # Somebody was faster; what he said counts.
            await self.outcome(uow, said, by=by)
            return
        self._note(uow, Author(by), said.outcome, said.request_id, {"detail": said.detail})

    async def _step(self, uow: UnitOfWork, known: StoredRequest, step: Step, reason: Reason | None = None) -> None:
        stepped = _stepped(uow, known, step, reason)
        if await store.step(uow.connection, stepped, known.state) and stepped.decision is not None:
            self._decided(uow, stepped)

    def _decided(self, uow: UnitOfWork, known: StoredRequest) -> None:
        with correlated(known.correlation_id):
            log.info("action_decided", request_id=known.request.id, decision=known.decision, reason=known.reason)
        self._note(uow, GATE, known.state.value, known.request.id, {"reason": known.reason})
        self._announce(uow, known)

    def _announce(self, uow: UnitOfWork, decided: StoredRequest) -> None:
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

    def _note(self, uow: UnitOfWork, who: Author, action: str, request_id: str, detail: dict[str, Any]) -> None:
        record(uow, who, Change(action, f"request:{request_id}", after=detail))


async def _put(uow: UnitOfWork, taken: list[tuple[StoredRequest, datetime]]) -> None:
    await store.put(uow.connection, taken)


def _digest(request: ActionRequest) -> bytes:
    # A field that came later and is not used must not change what a request from before it is recognised by.
    later = {"variant"} if request.variant is None else set()
    return hashlib.sha256(request.model_dump_json(exclude=later).encode()).digest()


def _stepped(uow: UnitOfWork, known: StoredRequest, step: Step, reason: Reason | None = None) -> StoredRequest:
    state = after(known.state, step)
    if state.decision is None:
        return replace(known, state=state)
    return replace(
        known, state=state, decision=state.decision, reason=reason.value if reason else None, decided_at=uow.now()
    )


def _may_confirm(question: Confirmation, request: ActionRequest, by: str | None) -> None:
    if by is None and (question.other_person or question.needed > 1):
        raise AnswerRefusedError("who confirms has to be known here: make the token for a person")
    if question.other_person and by == request.actor.id:
        raise AnswerRefusedError("somebody else than who asked has to confirm")
    if by is not None and by in question.confirmed_by:
        raise AnswerRefusedError("you have confirmed already; a second person has to")
