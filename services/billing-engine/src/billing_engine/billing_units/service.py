"""Publishing a service schema: the draft becomes the version that the next transfer uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tallyport.contracts.catalog import BillingUnit, SchemaPublished
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.billing_units import store
from billing_engine.billing_units.model import UnitDifference, differences, schema_faults
from billing_engine.billing_views import service as billing_views
from billing_engine.catalog import service as catalog_service
from billing_engine.catalog.model import Fault


class UnknownServiceError(LookupError):
    """No such service in the catalogue."""


class UnpublishableSchemaError(ValueError):
    """The draft cannot be billed by; ``faults`` says why, field by field."""

    def __init__(self, found: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in found))
        self.faults = list(found)


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
    found = await store.draft(connection, service)
    if found is None:
        raise UnknownServiceError(f"there is no service {service!r}; apply a catalogue that has it")
    return found


async def newest(connection: Any, service: str) -> dict[str, Any] | None:
    """The version that transfers use: version, units, published_at, published_by, reason; None before the first."""
    return await store.newest(connection, service)


async def publish(uow: UnitOfWork, service: str, *, by: str, reason: str) -> Published:
    """Make the draft the newest version, and tell everybody. Publishing an unchanged draft changes nothing.

    Raises:
        UnknownServiceError: no such service.
        UnpublishableSchemaError: the draft contradicts the service; every fault with its path.
    """
    await store.lock(uow.connection, service)
    units = await billing_views.pinned(uow.connection, await draft(uow.connection, service))
    await _check(uow.connection, service)
    current = await store.newest(uow.connection, service)
    # As this version writes them: a field that did not exist when the schema was published is no change of it.
    if current is not None and units_of(current) == units:
        return Published(current["version"], units, changed=False)
    version = (current["version"] if current is not None else 0) + 1
    wanted = [unit.model_dump() for unit in units]
    await store.put_version(uow.connection, service, version, units=wanted, at=uow.now(), by=by, reason=reason)
    data = SchemaPublished(service=service, version=version, units=units)
    uow.publish("catalog.changes", key=f"service_schema:{service}", data=data)
    return Published(version, units, changed=True)


async def revert(uow: UnitOfWork, service: str, version: int, *, by: str, reason: str) -> Published:
    """Make the units of an earlier version the draft, and publish it as a new version: history only grows.

    Raises:
        UnknownServiceError: no such service, or no such version of it.
        UnpublishableSchemaError: the service has changed since, so that the old units do not fit any more.
    """
    await store.lock(uow.connection, service)
    await draft(uow.connection, service)
    old = await store.version(uow.connection, service, version)
    if old is None:
        raise UnknownServiceError(f"service {service!r} has no version {version}")
    await store.put_draft(uow.connection, service, [unit.model_dump() for unit in units_of(old)])
    return await publish(uow, service, by=by, reason=reason or f"back to version {version}")


async def compare(connection: Any, service: str) -> list[UnitDifference]:
    """What publishing the draft would change.

    Raises:
        UnknownServiceError: no such service.
    """
    current = await store.newest(connection, service)
    units = await billing_views.pinned(connection, await draft(connection, service))
    return differences(units_of(current) if current is not None else [], units)


async def history(connection: Any, service: str, limit: int) -> list[dict[str, Any]]:
    """The versions, newest first: version, published_at, published_by, reason, units.

    Raises:
        UnknownServiceError: no such service.
    """
    await draft(connection, service)
    return await store.history(connection, service, limit)


def units_of(version: dict[str, Any]) -> list[BillingUnit]:
    """The units of a version, with what it did not know yet as it was then: the default."""
    return [BillingUnit(**unit) for unit in version["units"]]


async def _check(connection: Any, service: str) -> None:
    document = await catalog_service.read(connection)
    assert document is not None  # noqa: S101 - there is a draft, so there is its service
    whole = next(one for one in document.services if one.id == service)
    if not whole.billing_units:
        raise UnpublishableSchemaError([Fault("billing_units", f"service {service!r} has no billing units to publish")])
    if found := schema_faults(whole):
        raise UnpublishableSchemaError(found)
