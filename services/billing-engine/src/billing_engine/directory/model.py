"""What the directory knows of order and parents; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from tallyport.contracts.directory import (
    KINDS,
    Application,
    Entity,
    Inventory,
    Organisation,
    Removal,
    ServiceInstance,
    Site,
    Subscription,
)
from tallyport.messaging.record import Event, Tombstone


@dataclass(frozen=True, slots=True)
class Change:
    """The newest word on one entity: its value, or None when it is removed. ``event`` is absent for one that waited."""

    kind: str
    id: str
    entity: Entity | None
    partition: int
    offset: int
    event: Event[Any] | None

    @property
    def key(self) -> str:
        """``kind:id``."""
        return f"{self.kind}:{self.id}"


class UnknownEntityError(ValueError):
    """A removal that names no kind of entity."""


def change_of(event: Event[Entity | Removal | Tombstone]) -> Change:
    """The change an event tells of.

    Raises:
        UnknownEntityError: a tombstone whose key is not ``kind:id``.
    """
    data = event.data
    place = (event.record.partition, event.record.offset)
    if isinstance(data, Tombstone):
        kind, _, entity_id = data.key.partition(":")
        if kind not in KINDS or not entity_id:
            raise UnknownEntityError(f"key: {data.key!r} of a tombstone is not kind:id")
        return Change(kind, entity_id, None, *place, event)
    if isinstance(data, Removal):
        return Change(data.kind, data.id, None, *place, event)
    return Change(data.kind, data.id, data, *place, event)


def newest(changes: Iterable[Change]) -> dict[str, Change]:
    """The last change of each entity; a poll keeps the order within a key."""
    return {change.key: change for change in changes}


def parent_key(entity: Entity) -> str | None:
    """The ``kind:id`` an entity cannot be without; None for the root of the sales tree."""
    match entity:
        case Organisation(parent=parent):
            return f"organisation:{parent}" if parent is not None else None
        case Site(customer=customer) | ServiceInstance(customer=customer) | Inventory(customer=customer):
            return f"organisation:{customer}"
        case Subscription(instance=instance):
            return f"service_instance:{instance}"
        case Application(subscription=subscription):
            return f"subscription:{subscription}"
        case _:
            assert_never(entity)


def way_up(organisation: str, parents: Mapping[str, str]) -> list[str]:
    """The organisation and those above it, each once."""
    found = [organisation]
    while (parent := parents.get(found[-1])) is not None and parent not in found:
        found.append(parent)
    return found


def by_readiness(changes: Iterable[Change], known: set[str]) -> tuple[list[Change], list[Change]]:
    """Split into changes whose parent is ``known`` and changes that must wait for theirs."""
    ready: list[Change] = []
    blocked: list[Change] = []
    for change in changes:
        parent = parent_key(change.entity) if change.entity is not None else None
        (ready if parent is None or parent in known else blocked).append(change)
    return ready, blocked


def in_kind(changes: Sequence[Change], kind: str) -> list[Change]:
    """The changes of one kind, in order."""
    return [change for change in changes if change.kind == kind]
