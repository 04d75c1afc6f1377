"""Entering, approving, withdrawing and billing adjustments."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any

from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.money import plain

from billing_engine.adjustments import store
from billing_engine.adjustments.model import Adjustment, Bound, why_not_amount, why_not_approve, why_not_withdraw
from billing_engine.audit import service as audit
from billing_engine.audit.model import Author, Change
from billing_engine.transfers.corrections.store import lock


class AdjustmentRefusedError(ValueError):
    """It may not be done; the message says why and what to do instead."""


class UnknownAdjustmentError(LookupError):
    """There is no such adjustment, or no such customer."""


class AdjustmentService:
    """The use cases of adjustments. With ``needs_approval`` a second person has to agree before one is billed."""

    def __init__(
        self, unit_of_work: Callable[[], AbstractAsyncContextManager[UnitOfWork]], *, needs_approval: bool
    ) -> None:
        self._unit_of_work = unit_of_work
        self._needs_approval = needs_approval

    async def create(
        self,
        *,
        customer: str,
        amount: Decimal,
        currency: str,
        description: str,
        reason: str,
        service: str | None,
        reference: str | None,
        author: str,
    ) -> Adjustment:
        """Enter an adjustment, which the next batch bills once it is approved.

        Raises:
            AdjustmentRefusedError: the amount is no amount of that currency.
            UnknownAdjustmentError: no such customer.
        """
        problem = why_not_amount(amount, currency)
        if problem is not None:
            raise AdjustmentRefusedError(problem)
        async with self._unit_of_work() as uow:
            number = await store.customer_number(uow.connection, customer)
            if number is None:
                raise UnknownAdjustmentError(f"there is no customer {customer!r}")
            entered = await store.put(
                uow.connection,
                customer_no=number,
                amount=amount,
                currency=currency,
                description=description,
                reason=reason,
                service=service,
                reference=reference,
                author=author,
                at=uow.now(),
                approved_at=None if self._needs_approval else uow.now(),
            )
            made = await _one(uow.connection, entered)
            said = asdict(made) | {"amount": plain(amount), "created_at": str(made.created_at), "approved_at": None}
            await audit.record(uow, Author(author, reason), [Change("created", f"adjustment:{entered}", None, said)])
            return made

    async def approve(self, number: int, *, by: str) -> Adjustment:
        """A second person agrees.

        Raises:
            AdjustmentRefusedError: by its author, or too late.
            UnknownAdjustmentError: no such adjustment.
        """
        async with self._unit_of_work() as uow:
            await lock(uow.connection)
            problem = why_not_approve(await _one(uow.connection, number), by)
            if problem is not None:
                raise AdjustmentRefusedError(problem)
            await store.approve(uow.connection, number, by, uow.now())
            await audit.record(uow, Author(by), [Change("approved", f"adjustment:{number}")])
            return await _one(uow.connection, number)

    async def withdraw(self, number: int, *, by: str) -> Adjustment:
        """It is not to be billed.

        Raises:
            AdjustmentRefusedError: a batch has it already.
            UnknownAdjustmentError: no such adjustment.
        """
        async with self._unit_of_work() as uow:
            await lock(uow.connection)
            problem = why_not_withdraw(await _one(uow.connection, number))
            if problem is not None:
                raise AdjustmentRefusedError(problem)
            await store.withdraw(uow.connection, number, by, uow.now())
            await audit.record(uow, Author(by), [Change("withdrawn", f"adjustment:{number}")])
            return await _one(uow.connection, number)


async def _one(connection: Any, number: int) -> Adjustment:
    found = await store.find(connection, customer=None, number=number, limit=1)
    if not found:
        raise UnknownAdjustmentError(f"there is no adjustment {number}")
    return found[0]


async def listed(connection: Any, customer: str | None, limit: int) -> list[Adjustment]:
    """The adjustments of a customer, or all, newest first."""
    return await store.find(connection, customer=customer, number=None, limit=limit)


async def facts(connection: Any, number: int) -> dict[str, Any] | None:
    """An adjustment as an explanation tells it; None if there is none of that number."""
    found = await store.find(connection, customer=None, number=number, limit=1)
    return asdict(found[0]) | {"amount": plain(found[0].amount)} if found else None


async def take_over(connection: Any, batch_date: date, *, only_its_own: bool) -> list[Bound]:
    """What the batch of ``batch_date`` bills; ``only_its_own``: nothing that it did not have before.

    Needs the lock of what is taken over.
    """
    if not only_its_own:
        await store.bind(connection, batch_date)
    return await store.bound(connection, batch_date)


async def withdrawn_since(connection: Any, batch_date: date, revision: int) -> bool:
    """Whether something was withdrawn that a revision has frozen."""
    return await store.withdrawn_since(connection, batch_date, revision)
