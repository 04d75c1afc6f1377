"""Publishing a service schema: the draft becomes the version that the next transfer uses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from tallyport.contracts.catalog import BillingUnit, CounterQuantity, SchemaPublished
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.postgres.queries import load_queries

_QUERIES: Final = load_queries("billing_engine.billing_units")


class UnknownServiceError(LookupError):
    """No such service in the catalogue."""


class UnpublishableSchemaError(ValueError):
    """The draft cannot be billed by; the message says why."""


@dataclass(frozen=True, slots=True)
class Published:
    """A published version; ``changed`` is False when the draft was published already."""

    version: int
    units: list[BillingUnit]
    changed: bool


async def draft(connection: Any, service: str) -> list[BillingUnit]:
    """The units as edited.

    Raises:
        UnknownServiceError: no such service.
    """
    row = await connection.fetchrow(_QUERIES["draft"], service)
    if row is None:
        raise UnknownServiceError(f"there is no service {service!r}; apply a catalogue that has it")
    return [BillingUnit(**unit) for unit in json.loads(row["units"])]


async def newest(connection: Any, service: str) -> dict[str, Any] | None:
    """The version that transfers use: version, units, published_at, published_by, reason; None before the first."""
    row = await connection.fetchrow(_QUERIES["newest_version"], service)
    return None if row is None else {**dict(row.items()), "units": json.loads(row["units"])}


async def publish(uow: UnitOfWork, service: str, *, by: str, reason: str) -> Published:
    """Make the draft the newest version, and tell everybody. Publishing an unchanged draft changes nothing.

    Raises:
        UnknownServiceError: no such service.
        UnpublishableSchemaError: no units, or a unit that measures by a counter that is not declared.
    """
    await uow.connection.execute(_QUERIES["lock_schema"], service)
    units = await draft(uow.connection, service)
    row = await uow.connection.fetchrow(_QUERIES["draft"], service)
    counters = set(row["counters"]) if row is not None else set()
    _check(service, units, counters)
    current = await newest(uow.connection, service)
    wanted = [unit.model_dump() for unit in units]
    if current is not None and current["units"] == wanted:
        return Published(current["version"], units, changed=False)
    version = (current["version"] if current is not None else 0) + 1
    await uow.connection.execute(_QUERIES["publish"], service, version, json.dumps(wanted), uow.now(), by, reason)
    data = SchemaPublished(service=service, version=version, units=units)
    uow.publish("catalog.changes", key=f"service_schema:{service}", data=data)
    return Published(version, units, changed=True)


def _check(service: str, units: list[BillingUnit], counters: set[str]) -> None:
    if not units:
        raise UnpublishableSchemaError(f"service {service!r} has no billing units to publish")
    for unit in units:
        if isinstance(unit.quantity, CounterQuantity) and unit.quantity.counter not in counters:
            raise UnpublishableSchemaError(
                f"unit {unit.id!r}: counter {unit.quantity.counter!r} is not declared by service {service!r}"
            )
