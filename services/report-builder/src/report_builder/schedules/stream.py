"""What the collectors say: ``collection.runs``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tallyport.contracts.collection import CollectionRun
from tallyport.messaging.dispatch import EventDispatcher, Subscription
from tallyport.messaging.inbox import SourceNumbers
from tallyport.messaging.record import Event
from tallyport.messaging.unit_of_work import UnitOfWork

Handle = Callable[[UnitOfWork, Sequence[Event[Any]]], Awaitable[None]]


def collection_subscription(handles: Sequence[Handle], sources: SourceNumbers) -> Subscription:
    """Which sources there are, which were read when a report asked for it, and what was found in inventories."""

    async def apply(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        for handle in handles:
            await handle(uow, events)

    return Subscription(
        topic="collection.runs",
        group="report-builder.collection",
        process=EventDispatcher(apply, {CollectionRun.TYPE: CollectionRun.read}, sources),
    )
