"""``directory.changes`` as the engine reads it."""

from __future__ import annotations

from tallyport.contracts.directory import DIRECTORY_TYPE, read_entity
from tallyport.messaging.dispatch import EventDispatcher, Subscription
from tallyport.messaging.inbox import SourceNumbers

from billing_engine.directory.service import DirectoryService


def directory_subscription(service: DirectoryService, sources: SourceNumbers) -> Subscription:
    """The engine's projection of the directory."""
    return Subscription(
        topic="directory.changes",
        group="billing-engine.directory",
        process=EventDispatcher(service.apply, {DIRECTORY_TYPE: read_entity}, sources, compacted=True),
        max_records=1000,
    )
