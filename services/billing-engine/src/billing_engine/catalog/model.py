"""The catalogue's own rules, and what a new document changes; pure."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass

from tallyport.contracts.catalog import CatalogDocument, CounterQuantity, Service
from tallyport.money import NotANumberError, parse_decimal


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
        found += _service_faults(f"services.{index}", service)
    return found


def _twice(place: str, names: list[str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Fault(f"{place}.{index}", f"{name!r} is there twice")
        seen.add(name)


def _service_faults(place: str, service: Service) -> Iterator[Fault]:
    yield from _twice(f"{place}.counters", [counter.name for counter in service.counters])
    yield from _twice(f"{place}.billing_units", [unit.id for unit in service.billing_units])
    yield from _twice(
        f"{place}.overrides",
        [f"{o.plan} for {o.organisation or 'location ' + str(o.location)}" for o in service.overrides],
    )
    counters = {counter.name for counter in service.counters}
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
        found[f"override:{override.plan}:{level}"] = properties
    for unit in service.billing_units:
        found[f"draft_unit:{service.id}:{unit.id}"] = unit.model_dump_json()
    return found


def differences(old: Service | None, new: Service) -> list[CatalogDifference]:
    """What becomes different when ``new`` replaces ``old``."""
    before = entries(old) if old is not None else {}
    after = entries(new)
    found = [CatalogDifference("added", name, after[name]) for name in after if name not in before]
    found += [
        CatalogDifference("changed", name, f"{before[name]} -> {after[name]}")
        for name in after
        if name in before and before[name] != after[name]
    ]
    found += [CatalogDifference("removed", name, before[name]) for name in before if name not in after]
    return sorted(found, key=lambda one: one.entity)
