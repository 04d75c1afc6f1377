"""``billable-actions.requested``, ``.outcomes`` and ``confirmations.answered`` as the notifier reads them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tallyport.contracts.actions import ActionOutcome, ActionRequest, ConfirmationAnswered
from tallyport.correlation import correlated
from tallyport.messaging.dispatch import EventDispatcher, Subscription
from tallyport.messaging.inbox import SourceNumbers
from tallyport.messaging.record import Event
from tallyport.messaging.unit_of_work import UnitOfWork

from notifier.actions.model import InvalidRequestError
from notifier.actions.service import (
    AnswerRefusedError,
    ConflictingRequestError,
    Gate,
    OutcomeRefusedError,
    look_up,
)


def gate_subscriptions(gate: Gate, sources: SourceNumbers) -> list[Subscription]:
    """All sides of the gate."""
    return [
        Subscription(
            topic="billable-actions.requested",
            group="notifier.requests",
            process=EventDispatcher(partial(_requested, gate), {ActionRequest.TYPE: ActionRequest.read}, sources),
        ),
        Subscription(
            topic="billable-actions.outcomes",
            group="notifier.outcomes",
            process=EventDispatcher(partial(_outcome, gate), {ActionOutcome.TYPE: ActionOutcome.read}, sources),
        ),
        Subscription(
            topic="confirmations.answered",
            group="notifier.answers",
            process=EventDispatcher(
                partial(_answered, gate), {ConfirmationAnswered.TYPE: ConfirmationAnswered.read}, sources
            ),
        ),
    ]


async def _requested(gate: Gate, uow: UnitOfWork, events: Sequence[Event[ActionRequest]]) -> None:
    known = await look_up(uow, [event.data for event in events])
    for event in events:
        try:
            with correlated(event.correlation_id):
                await gate.take(uow, event.data, known, correlation_id=event.correlation_id)
        except ConflictingRequestError as error:
            uow.reject(event, f"conflict: {error}")
        except InvalidRequestError as error:
            uow.reject(event, str(error))


async def _answered(gate: Gate, uow: UnitOfWork, events: Sequence[Event[ConfirmationAnswered]]) -> None:
    for event in events:
        said = event.data
        try:
            await gate.answer(
                uow,
                said.confirmation_id,
                said.answer,
                by=said.answered_by,
                quote_sha256=said.quote_sha256,
                customer=said.customer,
            )
        except AnswerRefusedError as error:
            uow.reject(event, str(error))


async def _outcome(gate: Gate, uow: UnitOfWork, events: Sequence[Event[ActionOutcome]]) -> None:
    for event in events:
        try:
            await gate.outcome(uow, event.data, by=event.source)
        except OutcomeRefusedError as error:
            uow.reject(event, str(error))
