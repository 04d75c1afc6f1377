"""``billable-actions.requested``, ``.outcomes`` and ``confirmations.answered`` as the notifier reads them."""

from __future__ import annotations

from tallyport.contracts.actions import ActionOutcome, ActionRequest, ConfirmationAnswered
from tallyport.messaging.dispatch import EventDispatcher, Subscription
from tallyport.messaging.inbox import SourceNumbers

from notifier.actions.service import Gate


def gate_subscriptions(gate: Gate, sources: SourceNumbers) -> list[Subscription]:
    """All sides of the gate."""
    return [
        Subscription(
            topic="billable-actions.requested",
            group="notifier.requests",
            process=EventDispatcher(gate.on_requested, {ActionRequest.TYPE: ActionRequest.read}, sources),
        ),
        Subscription(
            topic="billable-actions.outcomes",
            group="notifier.outcomes",
            process=EventDispatcher(gate.on_outcome, {ActionOutcome.TYPE: ActionOutcome.read}, sources),
        ),
        Subscription(
            topic="confirmations.answered",
            group="notifier.answers",
            process=EventDispatcher(gate.on_answered, {ConfirmationAnswered.TYPE: ConfirmationAnswered.read}, sources),
        ),
    ]
