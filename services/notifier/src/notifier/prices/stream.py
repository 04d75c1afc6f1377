"""``directory.changes`` and ``catalog.changes`` as the notifier reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from tallyport.contracts.catalog import (
    CATALOG_TYPE,
    CatalogChange,
    CatalogRemoval,
)
from tallyport.contracts.directory import DIRECTORY_TYPE, Organisation, Removal, read_entity
from tallyport.messaging.dispatch import EventDispatcher, EventHandler, Subscription
from tallyport.messaging.inbox import SourceNumbers
from tallyport.messaging.record import Event, Tombstone
from tallyport.messaging.unit_of_work import UnitOfWork

from notifier.prices import store

_CATALOG_REMOVAL: TypeAdapter[CatalogRemoval] = TypeAdapter(CatalogRemoval)
_CATALOG_CHANGE: TypeAdapter[CatalogChange] = TypeAdapter(Annotated[CatalogChange, Field(discriminator="kind")])


def read_catalog(raw: bytes) -> Any:
    """A catalogue entity or its removal."""
    if b'"deleted"' in raw:
        try:
            return _CATALOG_REMOVAL.validate_json(raw, extra="ignore")
        except ValueError:
            return _CATALOG_CHANGE.validate_json(raw, extra="ignore")
    return _CATALOG_CHANGE.validate_json(raw, extra="ignore")


async def on_directory(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
    """Keep the organisations; prices need nothing else of the directory."""
    for event in events:
        place = (event.record.partition, event.record.offset)
        match event.data:
            case Organisation() as organisation:
                await store.put_organisation(uow.connection, organisation, *place)
            case Removal(kind="organisation", id=gone):
                await store.remove_organisation(uow.connection, gone, *place)
            case Tombstone(key=key) if key.startswith("organisation:"):
                await store.remove_organisation(uow.connection, key.partition(":")[2], *place)
            case _:
                continue


async def on_catalog(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
    """Keep plans, overrides and published schemas."""
    for event in events:
        place = (event.record.partition, event.record.offset)
        key = (event.record.key or b"").decode()
        match event.data:
            case CatalogRemoval() | Tombstone():
                await store.remove_catalog_entity(uow.connection, key, *place)
            case data:
                await store.put_catalog_entity(uow.connection, key, data, *place)


def price_subscriptions(sources: SourceNumbers, also: EventHandler) -> list[Subscription]:
    """Both projections. ``also`` is told of the directory in the same units of work: an event is taken in once."""

    async def directory(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        await on_directory(uow, events)
        await also(uow, events)

    return [
        Subscription(
            topic="directory.changes",
            group="notifier.directory",
            process=EventDispatcher(directory, {DIRECTORY_TYPE: read_entity}, sources, compacted=True),
            max_records=1000,
        ),
        Subscription(
            topic="catalog.changes",
            group="notifier.catalog",
            process=EventDispatcher(on_catalog, {CATALOG_TYPE: read_catalog}, sources, compacted=True),
        ),
    ]
