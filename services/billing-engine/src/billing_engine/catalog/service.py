"""Editing the catalogue as code: compare, check, replace whole services, tell the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tallyport.contracts.catalog import (
    CatalogDocument,
    CatalogRemoval,
    Override,
    OverridesChanged,
    PlanChanged,
    RatesChanged,
    RulesChanged,
    Service,
    ServiceChanged,
)
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.audit import service as audit
from billing_engine.audit.model import ENGINE, Author
from billing_engine.billing_views import service as billing_views
from billing_engine.catalog import store
from billing_engine.catalog.model import (
    CatalogDifference,
    Fault,
    audited,
    differences,
    faults,
    rate_differences,
    rate_faults,
    rule_differences,
    rule_faults,
    view_faults,
)
from billing_engine.directory import tree

TOPIC = "catalog.changes"

Guard = Callable[[CatalogDocument | None], None]
"""Looks at the catalogue that would be replaced; raises if it must not be."""


class InvalidCatalogError(ValueError):
    """A document that cannot be applied; ``faults`` names each field."""

    def __init__(self, found: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in found))
        self.faults = list(found)


async def read(connection: Any) -> CatalogDocument | None:
    """The catalogue as a document; None while there is none."""
    services = await store.read_services(connection)
    if not services:
        return None
    rules, rates = await store.read_rules(connection), await store.read_rates(connection)
    return CatalogDocument(services=list(services.values()), non_billable=rules or None, conversion_rates=rates or None)


async def compare(connection: Any, document: CatalogDocument) -> list[CatalogDifference]:
    """What applying ``document`` would change. Services it does not name stay as they are.

    Raises:
        InvalidCatalogError: it cannot be applied.
    """
    await _check(connection, document)
    stored = await store.read_services(connection)
    found = [one for service in document.services for one in differences(stored.get(service.id), service)]
    if document.non_billable is not None:
        found += rule_differences(await store.read_rules(connection), document.non_billable)
    if document.conversion_rates is not None:
        found += rate_differences(await store.read_rates(connection), document.conversion_rates)
    return found


async def apply(
    uow: UnitOfWork, document: CatalogDocument, author: Author = ENGINE, guard: Guard | None = None
) -> list[CatalogDifference]:
    """Make the catalogue what ``document`` says, publish what changed and note it; all of it or nothing.

    ``guard`` sees the catalogue that would be replaced, and may raise.

    Raises:
        InvalidCatalogError: it cannot be applied.
    """
    await alone(uow)
    before = await read(uow.connection)
    if guard is not None:
        guard(before)
    await _check(uow.connection, document)
    stored = {service.id: service for service in before.services} if before is not None else {}
    changes: list[CatalogDifference] = []
    for service in document.services:
        old = stored.get(service.id)
        found = differences(old, service)
        if found:
            gone = await store.replace_service(uow.connection, service)
            _publish(uow, old, service, gone, {one.entity for one in found})
        changes += found
    changes += await _apply_rules(uow, document) + await _apply_rates(uow, document)
    await audit.record(uow, author, audited(changes, before, document))
    return changes


async def alone(uow: UnitOfWork) -> None:
    """Hold off other editors of the catalogue until the transaction ends."""
    await store.lock(uow.connection)


async def warnings(connection: Any, document: CatalogDocument) -> list[Fault]:
    """What can be applied and is worth a look: overrides of organisations that the directory has not heard of yet."""
    named = [
        (f"services.{i}.overrides.{j}.organisation", one.organisation)
        for i, service in enumerate(document.services)
        for j, one in enumerate(service.overrides)
        if one.organisation is not None
    ]
    unknown = await tree.unknown(connection, [organisation for _, organisation in named])
    return [
        Fault(place, f"the directory has no organisation {organisation!r} yet")
        for place, organisation in named
        if organisation in unknown
    ]


async def _apply_rules(uow: UnitOfWork, document: CatalogDocument) -> list[CatalogDifference]:
    if document.non_billable is None:
        return []
    found = rule_differences(await store.read_rules(uow.connection), document.non_billable)
    if found:
        await store.replace_rules(uow.connection, document.non_billable)
        uow.publish(TOPIC, key="non_billable", data=RulesChanged(rules=document.non_billable))
    return found


async def _apply_rates(uow: UnitOfWork, document: CatalogDocument) -> list[CatalogDifference]:
    if document.conversion_rates is None:
        return []
    found = rate_differences(await store.read_rates(uow.connection), document.conversion_rates)
    if found:
        await store.replace_rates(uow.connection, document.conversion_rates)
        uow.publish(TOPIC, key="conversion_rates", data=RatesChanged(rates=document.conversion_rates))
    return found


async def _check(connection: Any, document: CatalogDocument) -> None:
    found = faults(document)
    owners = await store.plan_owners(connection, [plan.id for service in document.services for plan in service.plans])
    for i, service in enumerate(document.services):
        for j, plan in enumerate(service.plans):
            owner = owners.get(plan.id, service.id)
            if owner != service.id:
                found.append(Fault(f"services.{i}.plans.{j}.id", f"plan {plan.id!r} belongs to service {owner!r}"))
    found += rate_faults(document.conversion_rates or [])
    views = await billing_views.named(connection, [unit for one in document.services for unit in one.billing_units])
    for i, service in enumerate(document.services):
        found += view_faults(f"services.{i}", service, views)
    if document.non_billable:
        plans = {name: {plan.id for plan in one.plans} for name, one in (await store.read_services(connection)).items()}
        plans |= {one.id: {plan.id for plan in one.plans} for one in document.services}
        found += rule_faults(document.non_billable, plans)
    if found:
        raise InvalidCatalogError(found)


def _publish(uow: UnitOfWork, old: Service | None, new: Service, gone: Sequence[str], changed: set[str]) -> None:
    if old is None or old.name != new.name or old.counters != new.counters:
        uow.publish(
            TOPIC, key=f"service:{new.id}", data=ServiceChanged(id=new.id, name=new.name, counters=new.counters)
        )
    for plan in new.plans:
        if f"plan:{plan.id}" in changed:
            data = PlanChanged(service=new.id, **plan.model_dump())
            uow.publish(TOPIC, key=f"plan:{plan.id}", data=data)
    for plan_id in gone:
        uow.publish(TOPIC, key=f"plan:{plan_id}", data=CatalogRemoval(kind="plan", id=plan_id))
    after = {_level(o.plan, o.organisation, o.location): o for o in new.overrides}
    before = [_level(o.plan, o.organisation, o.location) for o in old.overrides] if old is not None else []
    for plan_id, level, level_id in {*after, *before}:
        key = f"override:{plan_id}:{level}:{level_id}"
        if key in changed:
            publish_override(uow, plan_id, level, level_id, after.get((plan_id, level, level_id)))


def publish_override(uow: UnitOfWork, plan_id: str, level: str, level_id: str, said: Override | None) -> None:
    """Tell of what a level says about a plan now; None: nothing any more."""
    data = OverridesChanged.model_validate(
        {
            "plan": plan_id,
            "level": level,
            "level_id": level_id,
            "currency": said.currency if said is not None else None,
            "properties": said.properties if said is not None else {},
        }
    )
    uow.publish(TOPIC, key=f"override:{plan_id}:{level}:{level_id}", data=data)


def _level(plan: str, organisation: str | None, location: str | None) -> tuple[str, str, str]:
    return (plan, "organisation", organisation) if organisation is not None else (plan, "location", location or "")
