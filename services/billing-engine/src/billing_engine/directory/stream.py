"""``directory.changes`` as the engine reads it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from tallyport.contracts.directory import DIRECTORY_TYPE, ENTITY, Removal
from tallyport.messaging.dispatch import BULK_WAIT_MS, EventDispatcher, Subscription
from tallyport.messaging.inbox import SourceNumbers

from billing_engine.directory.service import DirectoryService

_REMOVAL: TypeAdapter[Removal] = TypeAdapter(Removal)


def read_entity(raw: bytes) -> Any:
    """An entity, or its removal.

    Raises:
        pydantic.ValidationError: naming each wrong field.
    """
    if b'"deleted"' in raw:
        try:
            return _REMOVAL.validate_json(raw, extra="ignore")
        except ValueError:
            # "deleted": false, or the word in a name: then it is an entity like any other.
            return ENTITY.validate_json(raw, extra="ignore")
    return ENTITY.validate_json(raw, extra="ignore")


def directory_subscription(service: DirectoryService, sources: SourceNumbers) -> Subscription:
    """The engine's projection of the directory."""
    return Subscription(
        topic="directory.changes",
        group="billing-engine.directory",
        process=EventDispatcher(service.apply, {DIRECTORY_TYPE: read_entity}, sources, compacted=True),
        max_records=1000,
        fetch_max_wait_ms=BULK_WAIT_MS,
    )
