"""``warehouse.transfers`` as the engine reads it: the warehouse's answers."""

from __future__ import annotations

from tallyport.contracts.billing import TransferState
from tallyport.messaging.dispatch import EventDispatcher, Subscription
from tallyport.messaging.inbox import SourceNumbers

from billing_engine.transfers.service import TOPIC, TransferService


def transfers_subscription(service: TransferService, sources: SourceNumbers) -> Subscription:
    """The engine's own announcements come by too, and are passed over."""
    return Subscription(
        topic=TOPIC,
        group="billing-engine.transfers",
        process=EventDispatcher(service.on_warehouse_word, {TransferState.TYPE: TransferState.read}, sources),
    )
