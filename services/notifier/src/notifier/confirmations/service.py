"""Asking the customer: one question at a time about a request, bound to the quote that was shown."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from tallyport.audit import Author, Change
from tallyport.contracts.actions import ActionRequest, ConfirmationRequired
from tallyport.messaging.unit_of_work import UnitOfWork

from notifier.audit.service import record
from notifier.confirmations import store
from notifier.confirmations.model import Confirmation, Ticket
from notifier.messages.model import Filling
from notifier.messages.service import Messages
from notifier.prices.service import Quoted

TOPIC = "confirmations.required"
TOKEN_PREFIX: Final = "ct_"  # noqa: S105 - what tokens begin with, so that others need no look into the database
_PLANS_NAMED: Final = 3


class TokenError(ValueError):
    """A token that opens nothing: unknown, or its time is over."""


class TooManyAttemptsError(ValueError):
    """Somebody tries to answer too often; ``retry_after`` seconds from now it may go on."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many answers; the next may come in {retry_after} seconds")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Terms:
    """How a question is asked: until when, how many must confirm, whether the asker may."""

    expires_at: datetime
    needed: int = 1
    other_person: bool = False
    labels: Mapping[str, str] | None = None


async def ask(
    uow: UnitOfWork, messages: Messages, request: ActionRequest, quoted: Quoted, terms: Terms, *, correlation_id: str
) -> str:
    """Ask, and tell the consoles; returns the confirmation's id, which nobody can guess."""
    customer, quote = quoted.customer, quoted.quote
    composed = await messages.compose(
        uow.connection,
        request,
        filling_of(request, quoted, terms.expires_at),
        customer.language,
        request.actor.language,
        labels=terms.labels,
    )
    question = ConfirmationRequired(
        confirmation_id=f"cf_{secrets.token_urlsafe(24)}",
        request_id=request.id,
        action=request.action,
        customer=request.customer,
        actor=request.actor,
        message=composed.message.text,
        message_html=composed.message.html,
        language=composed.language,
        confirmations_needed=terms.needed,
        quote=quote,
        expires_at=terms.expires_at,
    )
    await store.ask(uow.connection, question, other_person=terms.other_person, at=uow.now())
    uow.publish(TOPIC, key=request.customer, data=question, correlation_id=correlation_id)
    return question.confirmation_id


def filling_of(request: ActionRequest, quoted: Quoted, valid_until: datetime) -> Filling:
    """What a question about ``request`` says in its places."""
    lines = quoted.quote.lines
    old = [line.plan for line in lines if line.quantity < 0]
    new = [line.plan for line in lines if line.quantity > 0]
    return Filling(
        customer=quoted.customer.name,
        user=request.actor.id,
        action=request.action,
        old_plan=_named(old, quoted.plan_names),
        new_plan=_named(new, quoted.plan_names),
        difference=quoted.quote.difference,
        total_after=quoted.quote.after,
        currency=quoted.quote.currency,
        valid_until=valid_until,
    )


def _named(plans: Sequence[str], names: Mapping[str, str]) -> str:
    shown = list(dict.fromkeys(names.get(one, one) for one in plans))
    more = ", ..." if len(shown) > _PLANS_NAMED else ""
    return (", ".join(shown[:_PLANS_NAMED]) + more) or "-"


async def find(uow: UnitOfWork, confirmation_id: str) -> Confirmation | None:
    """A question, locked until the transaction ends: of two answers at once, one waits and finds it closed."""
    return await store.find(uow.connection, confirmation_id)


async def close(uow: UnitOfWork, confirmation_id: str, *, state: str, by: str | None) -> None:
    """Ask no longer; ``state`` is confirmed, declined, expired or superseded."""
    await store.close(uow.connection, confirmation_id, state=state, by=by, at=uow.now())


async def agree(uow: UnitOfWork, confirmation_id: str, by: str) -> None:
    """Note that the first of two has confirmed."""
    await store.agree(uow.connection, confirmation_id, by)


async def supersede(uow: UnitOfWork, old: str, new: str) -> None:
    """Whoever holds a token for the old question can answer the new one."""
    await store.move_tokens(uow.connection, old, new)


async def overdue(uow: UnitOfWork) -> list[str]:
    """The open questions whose time has run out."""
    return await store.overdue(uow.connection, uow.now())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def issue(
    uow: UnitOfWork, confirmation_id: str, *, valid_seconds: int, person: str | None, by: Author
) -> tuple[str, datetime] | None:
    """A token that can read this question and answer it once; None where there is no open question of that id."""
    question = await store.find(uow.connection, confirmation_id)
    if question is None or question.state != "open" or question.expires_at <= uow.now():
        return None
    token = f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}"
    expires_at = min(uow.now() + timedelta(seconds=valid_seconds), question.expires_at)
    ticket = Ticket(confirmation_id, person, expires_at, None)
    await store.put_token(uow.connection, _digest(token), ticket, by=by.name, at=uow.now())
    after = {"request": question.request, "person": person, "expires_at": expires_at.isoformat()}
    record(uow, by, Change("token made", f"confirmation:{confirmation_id}", after=after))
    return token, expires_at


async def opened_by(connection: Any, token: str, now: datetime, *, hold: bool = False) -> Ticket:
    """What a token is for.

    Raises:
        TokenError: for nothing, or no longer.
    """
    ticket = await store.ticket(connection, _digest(token), hold=hold) if token.startswith(TOKEN_PREFIX) else None
    if ticket is None or ticket.expires_at <= now:
        raise TokenError("a valid token for this confirmation is needed")
    return ticket


async def use(uow: UnitOfWork, token: str) -> None:
    """The token has answered; it answers no more."""
    await store.use_token(uow.connection, _digest(token), uow.now())


async def count_attempt(uow: UnitOfWork, caller: str, *, limit: int) -> None:
    """Count an attempt to answer, in a transaction of its own: one that is refused counts too.

    Raises:
        TooManyAttemptsError: after ``limit`` in a minute.
    """
    attempts, begun_at = await store.count_attempt(uow.connection, caller, uow.now())
    if attempts > limit:
        left = begun_at + timedelta(minutes=1) - uow.now()
        raise TooManyAttemptsError(max(1, int(left.total_seconds()) + 1))


async def forget(uow: UnitOfWork) -> None:
    """Remove what no longer says anything."""
    await store.forget(uow.connection, uow.now())


async def look(connection: Any, confirmation_id: str) -> dict[str, Any] | None:
    """A question as it stands; None if there is none."""
    return await store.look(connection, confirmation_id)


def name_of(token: str) -> str:
    """What a token is called where it must not be known: a part of its hash."""
    return _digest(token).hex()[:32]
