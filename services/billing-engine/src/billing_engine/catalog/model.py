"""The catalogue's own rules, and what a new document changes; pure."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallyport.contracts.base import Contract
from tallyport.contracts.catalog import CatalogDocument, Service
from tallyport.contracts.currencies import ConversionRate
from tallyport.contracts.rules import NonBillableRule
from tallyport.contracts.units import CounterQuantity, ViewUnit
from tallyport.money import NotANumberError, parse_decimal, plain

from billing_engine.audit.model import Change
from billing_engine.billing_views.model import RegisteredView


@dataclass(frozen=True, slots=True)
class Fault:
    """Something a document may not say. ``field`` is its path: ``services.0.plans.2.id``."""

    field: str
    message: str


def faults(document: CatalogDocument) -> list[Fault]:
    """What is wrong with a document beyond its form: names given twice, references to nothing, prices not numbers."""
    found: list[Fault] = []
    found += _twice("services", [service.id for service in document.services])
    plans = [
        (f"services.{i}.plans.{j}.id", p.id) for i, s in enumerate(document.services) for j, p in enumerate(s.plans)
    ]
    counted = Tally(plan_id for _, plan_id in plans)
    seen: set[str] = set()
    for place, plan_id in plans:
        if counted[plan_id] > 1 and plan_id in seen:
            found.append(Fault(place, f"plan {plan_id!r} is there twice"))
        seen.add(plan_id)
    for index, service in enumerate(document.services):
        found += service_faults(f"services.{index}", service)
    return found


def _twice(place: str, names: list[str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Fault(f"{place}.{index}", f"{name!r} is there twice")
        seen.add(name)


def service_faults(place: str, service: Service) -> Iterator[Fault]:
    """What is wrong with one service; ``place`` is where it stands."""
    yield from _twice(f"{place}.counters", [counter.name for counter in service.counters])
    yield from _twice(f"{place}.billing_units", [unit.id for unit in service.billing_units])
    yield from _twice(
        f"{place}.overrides",
        [f"{o.plan} for {o.organisation or 'location ' + str(o.location)}" for o in service.overrides],
    )
    counters = {counter.name: counter.unit for counter in service.counters}
    plans = {plan.id for plan in service.plans}
    prices: set[str] = set()
    for index, unit in enumerate(service.billing_units):
        prices |= unit.number_properties
        if isinstance(unit.quantity, CounterQuantity) and unit.quantity.counter not in counters:
            known = ", ".join(sorted(counters)) or "none"
            yield Fault(
                f"{place}.billing_units.{index}.quantity.counter",
                f"counter {unit.quantity.counter!r} is not declared by service {service.id!r}; declared: {known}",
            )
        elif isinstance(unit.quantity, CounterQuantity) and unit.convert is not None:
            measured = counters[unit.quantity.counter]
            if unit.convert.from_unit != measured:
                message = f"counter {unit.quantity.counter!r} measures {measured!r}, not {unit.convert.from_unit!r}"
                yield Fault(f"{place}.billing_units.{index}.convert.from", message)
    for index, plan in enumerate(service.plans):
        yield from _price_faults(f"{place}.plans.{index}.properties", plan.properties, prices)
    for index, override in enumerate(service.overrides):
        if override.plan not in plans:
            yield Fault(f"{place}.overrides.{index}.plan", f"plan {override.plan!r} is not a plan of {service.id!r}")
        yield from _price_faults(f"{place}.overrides.{index}.properties", override.properties, prices)


def _price_faults(place: str, properties: dict[str, str], prices: set[str]) -> Iterator[Fault]:
    for name in sorted(prices & properties.keys()):
        try:
            parse_decimal(properties[name])
        except NotANumberError as error:
            yield Fault(f"{place}.{name}", str(error))


def rate_faults(rates: Sequence[ConversionRate]) -> Iterator[Fault]:
    """What is wrong with the rates beyond their form: two of the same pair and day contradict each other."""
    yield from _twice("conversion_rates", [rate.name for rate in rates])


def view_faults(
    place: str, service: Service, views: Mapping[tuple[str, int | None], RegisteredView | None]
) -> Iterator[Fault]:
    """What is wrong with the units whose lines a registered view names; ``views`` are those that they name."""
    for index, unit in enumerate(service.billing_units):
        if not isinstance(unit.unit, ViewUnit):
            continue
        at = f"{place}.billing_units.{index}"
        name, version = unit.unit.view, unit.unit.version
        view = views.get((name, version))
        if view is None:
            which = f"no version {version} of" if version is not None else "no"
            yield Fault(f"{at}.unit.view", f"there is {which} view {name!r}; register it first")
        elif view.service != service.id:
            message = f"view {name!r} is registered for service {view.service!r}, not for {service.id!r}"
            yield Fault(f"{at}.unit.view", message)
        elif view.plan_type != unit.plan_type:
            yield Fault(
                f"{at}.plan_type", f"view {name!r} makes lines of a {view.plan_type}, not of a {unit.plan_type}"
            )


def rule_faults(rules: Sequence[NonBillableRule], plans: Mapping[str, set[str]]) -> Iterator[Fault]:
    """What is wrong with the rules about lines that are not charged; ``plans`` are those of each service."""
    yield from _twice("non_billable", [rule.id for rule in rules])
    for index, rule in enumerate(rules):
        place = f"non_billable.{index}"
        if rule.service is not None and rule.service not in plans:
            yield Fault(f"{place}.service", f"there is no service {rule.service!r}")
        elif rule.plan is not None:
            known = plans[rule.service] if rule.service is not None else set().union(*plans.values())
            if rule.plan not in known:
                of = f" of {rule.service!r}" if rule.service is not None else ""
                yield Fault(f"{place}.plan", f"plan {rule.plan!r} is not a plan{of}")


@dataclass(frozen=True, slots=True)
class CatalogDifference:
    """One thing that a document adds, changes or removes."""

    action: str
    entity: str
    detail: str


def entries(service: Service) -> dict[str, str]:
    """A service's entries by name, each with all it says, so that two catalogues can be compared."""
    found = {f"service:{service.id}": service.name}
    for counter in service.counters:
        found[f"counter:{service.id}:{counter.name}"] = f"{counter.unit}, {counter.aggregation}"
    for plan in service.plans:
        properties = ", ".join(f"{name}={value}" for name, value in sorted(plan.properties.items()))
        found[f"plan:{plan.id}"] = f"{plan.name} ({plan.type}, {plan.currency}): {properties}"
    for override in service.overrides:
        level = f"organisation:{override.organisation}" if override.organisation else f"location:{override.location}"
        properties = ", ".join(f"{name}={value}" for name, value in sorted(override.properties.items()))
        money = f"({override.currency}) " if override.currency is not None else ""
        found[f"override:{override.plan}:{level}"] = money + properties
    for unit in service.billing_units:
        found[f"draft_unit:{service.id}:{unit.id}"] = unit.model_dump_json()
    return found


def contents(document: CatalogDocument | None) -> dict[str, Any]:
    """Everything a document holds, by the names that differences have, each as JSON."""
    found: dict[str, Any] = {}
    if document is None:
        return found

    def json(one: Contract, *without: str) -> Any:
        return one.model_dump(mode="json", exclude_none=True, exclude=set(without))

    for service in document.services:
        found[f"service:{service.id}"] = {"name": service.name}
        found |= {f"counter:{service.id}:{one.name}": json(one) for one in service.counters}
        found |= {f"plan:{one.id}": json(one) for one in service.plans}
        found |= {f"draft_unit:{service.id}:{one.id}": json(one) for one in service.billing_units}
        for one in service.overrides:
            level = f"organisation:{one.organisation}" if one.organisation else f"location:{one.location}"
            found[f"override:{one.plan}:{level}"] = json(one)
    for rank, rule in enumerate(document.non_billable or [], start=1):
        found[f"non_billable:{rule.id}"] = json(rule) | {"rank": rank}
    found |= {f"conversion_rate:{rate.name}": json(rate) for rate in document.conversion_rates or []}
    return found


def audited(
    changes: Sequence[CatalogDifference], before: CatalogDocument | None, after: CatalogDocument | None
) -> list[Change]:
    """``changes`` as the audit log keeps them: with all that was there and is there now."""
    old, new = contents(before), contents(after)
    return [Change(one.action, one.entity, old.get(one.entity), new.get(one.entity)) for one in changes]


def differences(old: Service | None, new: Service) -> list[CatalogDifference]:
    """What becomes different when ``new`` replaces ``old``."""
    return _compared(entries(old) if old is not None else {}, entries(new))


def rule_differences(old: Sequence[NonBillableRule], new: Sequence[NonBillableRule]) -> list[CatalogDifference]:
    """What becomes different when ``new`` are the rules; their order is part of what they say."""
    return _compared(*({f"non_billable:{rule.id}": f"{rank}. {rule.model_dump_json(exclude_none=True)}"
                        for rank, rule in enumerate(rules, start=1)} for rules in (old, new)))  # fmt: skip


def rate_differences(old: Sequence[ConversionRate], new: Sequence[ConversionRate]) -> list[CatalogDifference]:
    """What becomes different when ``new`` are the rates."""
    return _compared(*({f"conversion_rate:{rate.name}": plain(rate.rate) for rate in rates} for rates in (old, new)))


def _compared(before: dict[str, str], after: dict[str, str]) -> list[CatalogDifference]:
    found = [CatalogDifference("added", name, after[name]) for name in after if name not in before]
    found += [
        CatalogDifference("changed", name, f"{before[name]} -> {after[name]}")
        for name in after
        if name in before and before[name] != after[name]
    ]
    found += [CatalogDifference("removed", name, before[name]) for name in before if name not in after]
    return sorted(found, key=lambda one: one.entity)
