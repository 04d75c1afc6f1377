"""Publishing a service schema: the draft becomes the version that the next transfer uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tallyport.contracts.catalog import BillingUnit, SchemaPublished
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.audit import service as audit
from billing_engine.audit.model import Author, Change
from billing_engine.billing_units import store
from billing_engine.billing_units.model import UnitDifference, differences, schema_faults
from billing_engine.billing_views import service as billing_views
from billing_engine.catalog import service as catalog_service
from billing_engine.catalog.model import Fault

Guard = Callable[[Sequence[BillingUnit], dict[str, Any] | None], None]
"""Looks at the draft and the newest version before anything is changed; raises if they are not what was edited."""


def unguarded(_draft: Sequence[BillingUnit], _published: dict[str, Any] | None) -> None:
    """Whatever they are."""


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


async def publish(
    uow: UnitOfWork, service: str, *, by: str, reason: str, guard: Guard = unguarded, action: str = "published"
) -> Published:
    """Make the draft the newest version, and tell everybody. Publishing an unchanged draft changes nothing.

    Raises:
        UnknownServiceError: no such service.
        UnpublishableSchemaError: the draft contradicts the service; every fault with its path.
    """
    await store.lock(uow.connection, service)
    edited = await draft(uow.connection, service)
    current = await store.newest(uow.connection, service)
    guard(edited, current)
    units = await billing_views.pinned(uow.connection, edited)
    await _check(uow.connection, service)
    # As this version writes them: a field that did not exist when the schema was published is no change of it.
    if current is not None and units_of(current) == units:
        return Published(current["version"], units, changed=False)
    version = (current["version"] if current is not None else 0) + 1
    wanted = [unit.model_dump() for unit in units]
    await store.put_version(uow.connection, service, version, units=wanted, at=uow.now(), by=by, reason=reason)
    before = {"version": current["version"], "units": current["units"]} if current is not None else None
    change = Change(action, f"service_schema:{service}", before, {"version": version, "units": wanted})
    await audit.record(uow, Author(by, reason), [change])
    data = SchemaPublished(service=service, version=version, units=units)
    uow.publish("catalog.changes", key=f"service_schema:{service}", data=data)
    return Published(version, units, changed=True)


async def revert(
    uow: UnitOfWork, service: str, version: int, *, by: str, reason: str, guard: Guard = unguarded
) -> Published:
    """Make the units of an earlier version the draft, and publish it as a new version: history only grows.

    Raises:
        UnknownServiceError: no such service, or no such version of it.
        UnpublishableSchemaError: the service has changed since, so that the old units do not fit any more.
    """
    # The draft is the catalogue's: whoever compares and replaces that must not have it changed under his hands.
    await catalog_service.alone(uow)
    await store.lock(uow.connection, service)
    edited = await draft(uow.connection, service)
    guard(edited, await store.newest(uow.connection, service))
    old = await store.version(uow.connection, service, version)
    if old is None:
        raise UnknownServiceError(f"service {service!r} has no version {version}")
    reason = reason or f"back to version {version}"
    units = units_of(old)
    if units != edited:
        await store.put_draft(uow.connection, service, [unit.model_dump() for unit in units])
        before, after = ([unit.model_dump(mode="json") for unit in some] for some in (edited, units))
        await audit.record(uow, Author(by, reason), [Change("changed", f"draft:{service}", before, after)])
    return await publish(uow, service, by=by, reason=reason, action="reverted")


async def compare(connection: Any, service: str) -> list[UnitDifference]:
    """What publishing the draft would change.

    Raises:
        UnknownServiceError: no such service.
    """
    current = await store.newest(connection, service)
    units = await billing_views.pinned(connection, await draft(connection, service))
    return differences(units_of(current) if current is not None else [], units)


async def history(connection: Any, service: str, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """The versions, newest first, or those before one: version, published_at, published_by, reason, units.

    Raises:
        UnknownServiceError: no such service.
    """
    await draft(connection, service)
    return await store.history(connection, service, before, limit)


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
