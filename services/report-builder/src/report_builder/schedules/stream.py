"""What the collectors say: ``collection.runs``."""

from __future__ import annotations

from tallyport.contracts.collection import CollectionRun
from tallyport.messaging.dispatch import EventDispatcher, Subscription
from tallyport.messaging.inbox import SourceNumbers

from report_builder.schedules.service import Schedules


def collection_subscription(schedules: Schedules, sources: SourceNumbers) -> Subscription:
    """Which sources there are, and which were read when a report asked for it."""
    return Subscription(
        topic="collection.runs",
        group="report-builder.collection",
        process=EventDispatcher(schedules.on_runs, {CollectionRun.TYPE: CollectionRun.read}, sources),
    )
