"""The directory in PostgreSQL: whole polls at a time, the database does the joining."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
from tallyport.contracts.directory import (
    Application,
    Inventory,
    Organisation,
    ServiceInstance,
    Site,
    Subscription,
)
from tallyport.postgres.queries import load_queries

from billing_engine.directory.model import Change

_QUERIES: Final = load_queries("billing_engine.directory")

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class KnownObject:
    """An object that exists: its kind and the customer it belongs to."""

    kind: str
    customer_id: str


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


async def known_organisations(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of ``ids`` exist."""
    rows = await connection.fetch(_QUERIES["known_organisations"], list(ids))
    return {row["id"] for row in rows}


async def known_objects(connection: Connection, ids: Sequence[str]) -> dict[str, KnownObject]:
    """The objects among ``ids``."""
    rows = await connection.fetch(_QUERIES["known_objects"], list(ids))
    return {row["id"]: KnownObject(row["kind"], row["customer_id"]) for row in rows}


async def parents_upwards(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The parent of each of ``ids`` and of everything above them."""
    rows = await connection.fetch(_QUERIES["parents_upwards"], list(ids))
    return {row["id"]: row["parent"] for row in rows}


async def upsert_organisations(connection: Connection, changes: Sequence[Change]) -> None:
    """Enter organisations; all parents exist."""
    entities = [change.entity for change in changes if isinstance(change.entity, Organisation)]
    await connection.execute(
        _QUERIES["upsert_organisations"],
        [e.id for e in entities],
        [e.type.value for e in entities],
        [e.parent for e in entities],
        [e.name for e in entities],
        [e.billing_id for e in entities],
        [e.location for e in entities],
        [e.language for e in entities],
        [e.currency for e in entities],
        [e.imported for e in entities],
        *_places(changes),
    )


async def upsert_sites(connection: Connection, changes: Sequence[Change]) -> None:
    """Enter sites; their customers exist."""
    entities = [change.entity for change in changes if isinstance(change.entity, Site)]
    await connection.execute(
        _QUERIES["upsert_sites"],
        [e.customer for e in entities],
        [e.id for e in entities],
        [e.name for e in entities],
        [e.billing_number for e in entities],
        *_places(changes),
    )


async def register_objects(connection: Connection, changes: Sequence[Change], kind: str) -> list[str]:
    """Give the entities of ``changes`` object numbers; returns the ids that are new."""
    ids = [change.id for change in changes]
    parents: list[str] = []
    for change in changes:
        match change.entity:
            case ServiceInstance(customer=parent) | Subscription(instance=parent) | Application(subscription=parent):
                parents.append(parent)
    if kind == "service_instance":
        rows = await connection.fetch(_QUERIES["register_instance_objects"], ids, parents)
    else:
        rows = await connection.fetch(_QUERIES["register_child_objects"], ids, parents, kind)
    return [row["id"] for row in rows]


async def upsert_service_instances(connection: Connection, changes: Sequence[Change]) -> None:
    """Enter service instances; their objects are registered."""
    entities = [change.entity for change in changes if isinstance(change.entity, ServiceInstance)]
    await connection.execute(
        _QUERIES["upsert_service_instances"],
        [e.id for e in entities],
        [e.service for e in entities],
        [e.plan for e in entities],
        [e.status.value for e in entities],
        [e.is_billed for e in entities],
        [e.reseller_service for e in entities],
        [_json(e.properties) for e in entities],
        [_json(e.allocations) for e in entities],
        *_places(changes),
    )


async def upsert_subscriptions(connection: Connection, changes: Sequence[Change]) -> None:
    """Enter subscriptions; their objects and instances are registered."""
    entities = [change.entity for change in changes if isinstance(change.entity, Subscription)]
    await connection.execute(
        _QUERIES["upsert_subscriptions"],
        [e.id for e in entities],
        [e.instance for e in entities],
        [e.plan for e in entities],
        [e.status.value for e in entities],
        [e.user.upn for e in entities],
        [e.user.name for e in entities],
        *_places(changes),
    )


async def upsert_applications(connection: Connection, changes: Sequence[Change]) -> None:
    """Enter applications; their objects and subscriptions are registered."""
    entities = [change.entity for change in changes if isinstance(change.entity, Application)]
    await connection.execute(
        _QUERIES["upsert_applications"],
        [e.id for e in entities],
        [e.subscription for e in entities],
        [e.name for e in entities],
        [_json(e.properties) for e in entities],
        [e.status.value for e in entities],
        *_places(changes),
    )


async def upsert_inventories(connection: Connection, changes: Sequence[Change]) -> None:
    """Enter inventory counts; their customers exist."""
    entities = [change.entity for change in changes if isinstance(change.entity, Inventory)]
    await connection.execute(
        _QUERIES["upsert_inventories"],
        [e.customer for e in entities],
        [e.id for e in entities],
        [e.site for e in entities],
        [_json(e.counts) for e in entities],
        *_places(changes),
    )


async def remove(connection: Connection, changes: Sequence[Change]) -> None:
    """Mark entities as removed; those never heard of stay unheard of."""
    for change in changes:
        await connection.execute(_QUERIES[f"remove_{change.kind}"], change.id, change.partition, change.offset)


async def put_in_waiting(connection: Connection, changes: Sequence[tuple[Change, str]]) -> None:
    """Keep entities until the parent named beside each is heard of."""
    await connection.execute(
        _QUERIES["put_in_waiting"],
        [change.key for change, _ in changes],
        [parent for _, parent in changes],
        [change.entity.model_dump_json() for change, _ in changes if change.entity is not None],
        *_places([change for change, _ in changes]),
    )


async def forget_waiting(connection: Connection, keys: Sequence[str]) -> None:
    """Drop what waited under these keys."""
    await connection.execute(_QUERIES["forget_waiting"], list(keys))


async def take_waiting_for(connection: Connection, parents: Sequence[str]) -> list[asyncpg.Record]:
    """Take out the entities that waited for ``parents``: entity_key, entity (JSON), source_partition, source_offset."""
    rows: list[asyncpg.Record] = await connection.fetch(_QUERIES["take_waiting_for"], list(parents))
    return rows


async def waiting(connection: Connection, after: tuple[datetime, str] | None, limit: int) -> list[asyncpg.Record]:
    """What waits: entity_key, waits_for, since; oldest first, from behind ``after`` on."""
    since, key = after if after is not None else (None, None)
    rows: list[asyncpg.Record] = await connection.fetch(_QUERIES["waiting"], since, key, limit)
    return rows


async def place(connection: Connection, organisation: str, within: str | None) -> asyncpg.Record | None:
    """The chain (ids upwards) and location of an organisation; None if it is not within ``within``."""
    row: asyncpg.Record | None = await connection.fetchrow(_QUERIES["place"], organisation, within)
    return row


async def locations_below(connection: Connection, organisation: str) -> set[str]:
    """The locations of an organisation and of all below it."""
    return {row["location"] for row in await connection.fetch(_QUERIES["locations_below"], organisation)}


async def organisations(
    connection: Connection, within: str | None, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """Organisations by id, those within ``within`` only if it is given."""
    rows = await connection.fetch(_QUERIES["organisations_within"], within, after or "", limit)
    return [dict(row.items()) for row in rows]


async def counts(connection: Connection) -> dict[str, int]:
    """How many of each kind there are."""
    row = await connection.fetchrow(_QUERIES["counts"])
    return dict(row.items()) if row else {}


def _places(changes: Sequence[Change]) -> tuple[list[int], list[int]]:
    return [change.partition for change in changes], [change.offset for change in changes]
