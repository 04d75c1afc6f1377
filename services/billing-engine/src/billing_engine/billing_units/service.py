"""Publishing a service schema: the draft becomes the version that the next transfer uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tallyport.contracts.catalog import BillingUnit, SchemaPublished
from tallyport.contracts.units import CounterQuantity
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.billing_units import store


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
    return (await _draft(connection, service))[0]


async def newest(connection: Any, service: str) -> dict[str, Any] | None:
    """The version that transfers use: version, units, published_at, published_by, reason; None before the first."""
    return await store.newest(connection, service)


async def _draft(connection: Any, service: str) -> tuple[list[BillingUnit], set[str]]:
    found = await store.draft(connection, service)
    if found is None:
        raise UnknownServiceError(f"there is no service {service!r}; apply a catalogue that has it")
    return found


async def publish(uow: UnitOfWork, service: str, *, by: str, reason: str) -> Published:
    """Make the draft the newest version, and tell everybody. Publishing an unchanged draft changes nothing.

    Raises:
        UnknownServiceError: no such service.
        UnpublishableSchemaError: no units, or a unit that measures by a counter that is not declared.
    """
    await store.lock(uow.connection, service)
    units, counters = await _draft(uow.connection, service)
    _check(service, units, counters)
    current = await store.newest(uow.connection, service)
    wanted = [unit.model_dump() for unit in units]
    if current is not None and current["units"] == wanted:
        return Published(current["version"], units, changed=False)
    version = (current["version"] if current is not None else 0) + 1
    await store.put_version(uow.connection, service, version, units=wanted, at=uow.now(), by=by, reason=reason)
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
