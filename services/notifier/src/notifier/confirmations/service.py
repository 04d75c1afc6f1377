"""Asking the customer: one question at a time about a request, bound to the quote that was shown."""

from __future__ import annotations

import secrets
from datetime import timedelta

from tallyport.contracts.actions import ActionRequest, ConfirmationRequired, Quote
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.money import plain

from notifier.confirmations import store
from notifier.confirmations.store import Confirmation
from notifier.messages.model import choose_language, render
from notifier.prices.model import Customer

TOPIC = "confirmations.required"


async def ask(
    uow: UnitOfWork,
    request: ActionRequest,
    customer: Customer,
    quote: Quote,
    *,
    valid_minutes: int,
    correlation_id: str,
) -> str:
    """Ask, and tell the consoles; returns the confirmation's id, which nobody can guess."""
    language = choose_language(request.actor.language, customer.language)
    amount = f"{plain(quote.difference)} {quote.currency}" if quote.difference is not None else None
    question = ConfirmationRequired(
        confirmation_id=f"cf_{secrets.token_urlsafe(24)}",
        request_id=request.id,
        action=request.action,
        customer=request.customer,
        actor=request.actor,
        message=render(language, action=request.action, customer=customer.name, difference=amount),
        language=language,
        quote=quote,
        expires_at=uow.now() + timedelta(minutes=valid_minutes),
    )
    await store.ask(uow.connection, question, at=uow.now())
    uow.publish(TOPIC, key=request.customer, data=question, correlation_id=correlation_id)
    return question.confirmation_id


async def find(uow: UnitOfWork, confirmation_id: str) -> Confirmation | None:
    """A question, locked until the transaction ends: of two answers at once, one waits and finds it closed."""
    return await store.find(uow.connection, confirmation_id)


async def close(uow: UnitOfWork, confirmation_id: str, *, state: str, by: str | None) -> None:
    """Ask no longer; ``state`` is confirmed, declined, expired or superseded."""
    await store.close(uow.connection, confirmation_id, state=state, by=by, at=uow.now())


async def overdue(uow: UnitOfWork) -> list[str]:
    """The open questions whose time has run out."""
    return await store.overdue(uow.connection, uow.now())
