"""``collection.runs`` as the engine reads it."""

from __future__ import annotations

from tallyport.contracts.collection import CollectionRun
from tallyport.messaging.dispatch import EventDispatcher, Subscription
from tallyport.messaging.inbox import SourceNumbers

from billing_engine.collection.service import on_runs


def collection_subscription(sources: SourceNumbers) -> Subscription:
    """What came of each reading of a source."""
    return Subscription(
        topic="collection.runs",
        group="billing-engine.collection",
        process=EventDispatcher(on_runs, {CollectionRun.TYPE: CollectionRun.read}, sources),
    )
