"""What one organisation says about one plan: checked, published and noted as the catalogue is, without the rest of it.

A reseller says it for those strictly below itself; what it pays itself is said by the level above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from tallyport.contracts.catalog import Override, Service
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.pricing.inheritance import Effective, effective

from billing_engine.audit import service as audit
from billing_engine.audit.model import Author, Change
from billing_engine.catalog import service as catalog
from billing_engine.catalog import store
from billing_engine.catalog.model import CatalogDifference, Fault, differences, service_faults
from billing_engine.catalog.selling import (
    PriceNames,
    Purchase,
    cost_faults,
    foreign_faults,
    only,
    price_names,
    with_foreign,
)
from billing_engine.directory import tree

Guard = Callable[[Override | None], None]
"""Looks at what would be replaced; raises if it must not be."""

ABOVE = "above"
"""The source of a value that an organisation says which the asker does not see."""


class UnknownPlanError(LookupError):
    """There is no such plan."""

    def __init__(self, plan_id: str) -> None:
        super().__init__(f"there is no plan {plan_id!r}")


class NotYoursError(PermissionError):
    """What an organisation pays is said by the level above it."""

    def __init__(self, organisation: str) -> None:
        super().__init__(f"what {organisation!r} pays is set by the level above it; yours to set is what is below you")


@dataclass(frozen=True, slots=True)
class Editor:
    """Who edits: ``within`` is a reseller's own organisation, None for the provider; ``day`` is that of the rates."""

    author: Author
    within: str | None
    may_sell_below_cost: bool
    day: date


@dataclass(frozen=True, slots=True)
class Listed:
    """An override's place in the list, and what of it the asker may see."""

    plan: str
    organisation: str
    seen: Override | None


@dataclass(frozen=True, slots=True)
class Said:
    """What an organisation says now, and what of it is new, as far as the editor may see it."""

    override: Override | None
    changes: list[CatalogDifference]


@dataclass(frozen=True, slots=True)
class Prices:
    """The values of a plan's properties that count for an organisation, each with the level that says it."""

    plan: store.PricedPlan
    organisation: str | None
    values: dict[str, Effective]


async def listing(
    connection: Any,
    *,
    within: str | None,
    organisation: str | None,
    plan_id: str | None,
    after: tuple[str, str] | None,
    limit: int,
) -> list[Listed]:
    """What organisations say about plans, by plan and organisation, with what of it ``within`` may see.

    Raises:
        UnknownOrganisationError: ``organisation`` is not there, or not to be seen.
    """
    if organisation is not None and within is not None:
        await tree.place(connection, organisation, within=within)
    found = await store.overrides(
        connection, within=within, organisation=organisation, plan_id=plan_id, after=after or ("", ""), limit=limit
    )
    plans_named = {name: await store.plan(connection, name) for name in {one.plan for one in found}}
    return [Listed(one.plan, one.organisation or "", _seen(plans_named[one.plan], one, within)) for one in found]


async def one(connection: Any, plan_id: str, organisation: str, *, within: str | None) -> Override | None:
    """What an organisation says about a plan; None if it says nothing that ``within`` may see.

    Raises:
        UnknownOrganisationError: it is not there, or not to be seen.
        UnknownPlanError: there is no such plan.
    """
    plan = await store.plan(connection, plan_id)
    if plan is None:
        raise UnknownPlanError(plan_id)
    return _seen(plan, await _stored(connection, plan_id, organisation, within), within)


async def _stored(connection: Any, plan_id: str, organisation: str, within: str | None) -> Override | None:
    found = await store.overrides(connection, within=within, organisation=organisation, plan_id=plan_id, limit=1)
    if not found:
        await tree.place(connection, organisation, within=within)
    return found[0] if found else None


async def put(
    uow: UnitOfWork, plan_id: str, organisation: str, wanted: Override | None, *, editor: Editor, guard: Guard
) -> Said:
    """Make what an organisation says about a plan ``wanted``; None: nothing. Publishes and notes what changes.

    A reseller makes so what is its to say; what the provider said there beside it stays.

    Raises:
        UnknownOrganisationError: it is not there, or not to be seen.
        UnknownPlanError: there is no such plan.
        NotYoursError: it is the editor's own organisation.
        InvalidCatalogError: it may not be said; every fault with its path.
    """
    await catalog.alone(uow)
    plan = await store.plan(uow.connection, plan_id)
    if plan is None:
        raise UnknownPlanError(plan_id)
    within = editor.within
    before = await _stored(uow.connection, plan_id, organisation, within)
    guard(_seen(plan, before, within))
    if within is not None:
        wanted = with_foreign(_names(plan), plan_id, before, wanted)
    found = _form_faults(plan, wanted)
    if within is not None:
        place = await tree.place(uow.connection, organisation, within=within)
        if not place.below(within):
            raise NotYoursError(organisation)
        found += await _reseller_faults(uow.connection, plan, place, editor, before=before, wanted=wanted)
    if found:
        raise catalog.InvalidCatalogError(found)
    changes = differences(_service(plan, before), _service(plan, wanted))
    if changes:
        await store.replace_override(uow.connection, plan_id, organisation, wanted)
        catalog.publish_override(uow, plan_id, "organisation", organisation, wanted)
        told = [Change(change.action, change.entity, _json(before), _json(wanted)) for change in changes]
        await audit.record(uow, editor.author, told)
    before, wanted = (_seen(plan, one, within) for one in (before, wanted))
    return Said(wanted, differences(_service(plan, before), _service(plan, wanted)))


async def prices(connection: Any, plan_id: str, organisation: str | None, *, within: str | None) -> Prices:
    """What a plan costs an organisation, and which level says so; without one, what the plan itself says.

    A reseller sees what it pays and what is paid below it; not what the provider pays, nor which level above says so.

    Raises:
        UnknownOrganisationError: it is not there, or not to be seen.
        UnknownPlanError: there is no such plan.
    """
    plan = await store.plan(connection, plan_id)
    if plan is None:
        raise UnknownPlanError(plan_id)
    asked = organisation or within
    place = await tree.place(connection, asked, within=within) if asked is not None else tree.Place([], None)
    said = await store.plan_values(connection, plan.plan, place.chain)
    names = {*said.own, *(name for level in said.organisations.values() for name in level)}
    names |= set(said.locations.get(place.location, {})) if place.location is not None else set()
    if within is not None:
        names &= _names(plan).shown
    above = set() if within is None else {f"organisation:{one}" for one in place.from_(within)[1:]}
    values: dict[str, Effective] = {}
    for name in sorted(names):
        value = effective(name, said, place.chain, place.location)
        if value is not None:
            source = ABOVE if value.source in above else value.source
            values[name] = Effective(value.value, source, value.currency)
    return Prices(plan, asked, values)


async def plans(connection: Any, *, service: str | None, after: str | None, limit: int) -> list[dict[str, Any]]:
    """Plans by id: id, service, type, name, currency."""
    return await store.plans(connection, service=service, after=after or "", limit=limit)


def _names(plan: store.PricedPlan) -> PriceNames:
    return price_names([*plan.draft, *plan.published], plan.plan)


def _seen(plan: store.PricedPlan | None, override: Override | None, within: str | None) -> Override | None:
    """What of an override the asker may see: the provider all of it."""
    if within is None or plan is None:
        return override
    return only(override, _names(plan).shown)


def _service(plan: store.PricedPlan, said: Override | None) -> Service:
    units = [*plan.draft, *(unit for unit in plan.published if unit not in plan.draft)]
    overrides = [said] if said is not None else []
    return Service(id=plan.service, name=plan.service_name, plans=[plan.plan], billing_units=units, overrides=overrides)


def _form_faults(plan: store.PricedPlan, wanted: Override | None) -> list[Fault]:
    """What is wrong with it by the catalogue's own rules, for the units as edited and as they count now."""
    faults = service_faults("", _service(plan, wanted))
    mark = ".overrides.0."
    return [Fault(one.field.removeprefix(mark), one.message) for one in faults if one.field.startswith(mark)]


async def _reseller_faults(
    connection: Any,
    plan: store.PricedPlan,
    place: tree.Place,
    editor: Editor,
    *,
    before: Override | None,
    wanted: Override | None,
) -> Sequence[Fault]:
    names = _names(plan)
    found = list(foreign_faults(names, plan.plan, before, wanted))
    if wanted is None or editor.may_sell_below_cost or editor.within is None:
        return found
    chain = place.from_(editor.within)
    locations = await tree.locations_below(connection, place.organisation)
    rates = await store.read_rates(connection)
    by = Purchase(chain, [None, *sorted(locations)], rates, editor.day)
    values = await store.plan_values(connection, plan.plan, chain)
    return [*found, *cost_faults(names, plan.plan, values, wanted, by)]


def _json(override: Override | None) -> Any:
    return None if override is None else override.model_dump(mode="json", exclude_none=True)
