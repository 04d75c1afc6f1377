"""Taking in directory changes: parents first, children wait, one transaction a poll."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tallyport.contracts.directory import ENTITY, KINDS, Organisation, ServiceInstance
from tallyport.messaging.record import Event
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.directory import store
from billing_engine.directory.model import (
    Change,
    UnknownEntityError,
    by_readiness,
    change_of,
    in_kind,
    newest,
    parent_key,
    way_up,
)

NewObjects = Callable[[UnitOfWork, Sequence[str]], Awaitable[None]]

_UPSERTS = {
    "organisation": store.upsert_organisations,
    "site": store.upsert_sites,
    "service_instance": store.upsert_service_instances,
    "subscription": store.upsert_subscriptions,
    "application": store.upsert_applications,
    "inventory": store.upsert_inventories,
}
_OBJECT_KINDS = ("service_instance", "subscription", "application")


class DirectoryService:
    """Applies changes; ``on_new_objects`` is told, in the same transaction, of objects that samples may refer to."""

    def __init__(self, on_new_objects: NewObjects) -> None:
        self._on_new_objects = on_new_objects

    async def apply(self, uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        """Apply one poll's changes, and whatever waited for them."""
        changes: list[Change] = []
        for event in events:
            try:
                changes.append(change_of(event))
            except UnknownEntityError as error:
                uow.reject(event, str(error))
        latest = newest(changes)
        if not latest:
            return
        await store.forget_waiting(uow.connection, list(latest))
        await store.remove(uow.connection, [change for change in latest.values() if change.entity is None])
        pending = []
        for change in latest.values():
            if change.entity is not None and parent_key(change.entity) == change.key:
                await _refuse(uow, change, f"parent: {change.id!r} is its own; a tree has no cycles")
            elif change.entity is not None:
                pending.append(change)
        while pending:
            ready, pending = by_readiness(pending, await self._known_parents(uow, pending))
            if not ready:
                break
            entered = await self._enter(uow, ready)
            pending += [_revived(row) for row in await store.take_waiting_for(uow.connection, entered)]
        if pending:
            await store.put_in_waiting(uow.connection, [(change, _parent(change)) for change in pending])

    async def _known_parents(self, uow: UnitOfWork, changes: Sequence[Change]) -> set[str]:
        parents = {_parent(change) for change in changes} - {""}
        organisations = [key.partition(":")[2] for key in parents if key.startswith("organisation:")]
        objects = [key.partition(":")[2] for key in parents if not key.startswith("organisation:")]
        known = {f"organisation:{one}" for one in await store.known_organisations(uow.connection, organisations)}
        if objects:
            found = await store.known_objects(uow.connection, objects)
            known |= {f"{one.kind}:{object_id}" for object_id, one in found.items()}
        return known

    async def _enter(self, uow: UnitOfWork, ready: Sequence[Change]) -> list[str]:
        """Enter changes whose parents exist; returns the keys that exist now."""
        entered: list[str] = []
        new_objects: list[str] = []
        for kind in KINDS:
            of_kind = in_kind(ready, kind)
            if kind == "organisation":
                of_kind = await self._without_cycles(uow, of_kind)
            elif kind in _OBJECT_KINDS:
                of_kind = await self._without_strangers(uow, of_kind, kind)
            if not of_kind:
                continue
            if kind in _OBJECT_KINDS:
                new_objects += await store.register_objects(uow.connection, of_kind, kind)
            await _UPSERTS[kind](uow.connection, of_kind)
            entered += [change.key for change in of_kind]
        if new_objects:
            await self._on_new_objects(uow, new_objects)
        return entered

    async def _without_cycles(self, uow: UnitOfWork, changes: list[Change]) -> list[Change]:
        """Refuse an organisation that would end up above itself."""
        named = [c.entity.parent for c in changes if isinstance(c.entity, Organisation) and c.entity.parent]
        parents = await store.parents_upwards(uow.connection, named) if named else {}
        kept: list[Change] = []
        for change in changes:
            parent = change.entity.parent if isinstance(change.entity, Organisation) else None
            if parent is not None and change.id in way_up(parent, parents):
                await _refuse(uow, change, f"parent: {parent!r} is below {change.id!r} already; a tree has no cycles")
                continue
            kept.append(change)
            # Two changes of one poll may make a circle that neither would make alone.
            parents.pop(change.id, None)
            if parent is not None:
                parents[change.id] = parent
        return kept

    async def _without_strangers(self, uow: UnitOfWork, changes: list[Change], kind: str) -> list[Change]:
        """Refuse an id that belongs to another customer or kind: what was billed under an id stays that object's."""
        existing = await store.known_objects(uow.connection, [change.id for change in changes]) if changes else {}
        kept: list[Change] = []
        for change in changes:
            known = existing.get(change.id)
            customer = change.entity.customer if isinstance(change.entity, ServiceInstance) else None
            if known is not None and known.kind != kind:
                await _refuse(uow, change, f"id: {change.id!r} is a {known.kind} already")
            elif known is not None and customer is not None and known.customer_id != customer:
                owner = known.customer_id
                await _refuse(uow, change, f"id: {change.id!r} belongs to customer {owner!r}; ids do not change hands")
            else:
                kept.append(change)
        return kept


async def _refuse(uow: UnitOfWork, change: Change, reason: str) -> None:
    if change.event is not None:
        uow.reject(change.event, reason)
    else:
        # It was accepted when it came and waited since; its record is far back, so it stays visible where it is.
        await store.put_in_waiting(uow.connection, [(change, f"refused: {reason}")])


def _parent(change: Change) -> str:
    return (parent_key(change.entity) if change.entity is not None else None) or ""


def _revived(row: Any) -> Change:
    entity = ENTITY.validate_json(row["entity"])
    return Change(entity.kind, entity.id, entity, row["source_partition"], row["source_offset"], None)
