"""Billing units as a transfer works with them; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallyport.contracts.catalog import BillingUnit, Service
from tallyport.contracts.pricing import (
    FlatPrice,
    GraduatedPrice,
    IncludedPrice,
    PackagePrice,
    PriceModel,
    VolumePrice,
    is_number,
    takes_unit_price,
)
from tallyport.contracts.units import DESCRIPTION_FIELDS, ColumnQuantity, CounterQuantity, ViewUnit
from tallyport.money import plain
from tallyport.pricing.conversion import factor

from billing_engine.billing_views.model import ViewWork
from billing_engine.catalog.model import Fault, service_faults

Row = dict[str, Any]
Schemas = Mapping[str, Sequence[BillingUnit]]
"""The units of each service."""


def work_rows(schemas: Schemas, *, after: int = 0, mark: str = "") -> tuple[list[Row], list[Row]]:
    """The units that make lines, ranked, and the numbers that their price models need.

    A unit with the plain flat price has none: what it costs is a quantity times a price. Several sets of rules can
    stand side by side in one working set: the units of one are numbered ``after`` those of another, and each line names
    its unit with the ``mark`` of its set before the id.
    """
    units: list[Row] = []
    amounts: list[Row] = []
    for number, service, unit in _ranked(schemas, after):
        units.append(_unit(number, service, unit) | {"id": f"{mark}{unit.id}"})
        amounts += [{"unit_no": number, **row} for row in _amounts(unit.price_model, unit.price)]
    return units, amounts


def view_works(schemas: Schemas, *, after: int = 0) -> list[ViewWork]:
    """The units whose lines a registered view names, by the numbers that they have in the working set."""
    return [
        ViewWork(number, service, unit.subject, unit.unit.view, unit.unit.version, unit.quantity.column)
        for number, service, unit in _ranked(schemas, after)
        if isinstance(unit.unit, ViewUnit) and isinstance(unit.quantity, ColumnQuantity)
    ]


def _ranked(schemas: Schemas, after: int) -> Iterator[tuple[int, str, BillingUnit]]:
    ranked = sorted(
        ((service, unit) for service, units in schemas.items() for unit in units if unit.active),
        key=lambda one: (one[0], one[1].order, one[1].id),
    )
    for number, (service, unit) in enumerate(ranked, start=after + 1):
        yield number, service, unit


@dataclass(frozen=True, slots=True)
class UnitDifference:
    """One thing that a draft adds, changes or removes; ``field`` is None where it is a whole unit."""

    action: str
    unit: str
    field: str | None
    before: Any
    after: Any


def differences(published: Sequence[BillingUnit], draft: Sequence[BillingUnit]) -> list[UnitDifference]:
    """What publishing ``draft`` in the place of ``published`` would change, field by field."""
    before = {unit.id: unit.model_dump(mode="json") for unit in published}
    after = {unit.id: unit.model_dump(mode="json") for unit in draft}
    found: list[UnitDifference] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            found.append(UnitDifference("added", name, None, None, after[name]))
        elif name not in after:
            found.append(UnitDifference("removed", name, None, before[name], None))
        else:
            found += [
                UnitDifference("changed", name, field, before[name][field], value)
                for field, value in after[name].items()
                if before[name][field] != value
            ]
    return found


def schema_faults(service: Service) -> list[Fault]:
    """Why the units of ``service`` cannot be published: what contradicts its plans, and names that nothing has."""
    found = [Fault(one.field.removeprefix("."), one.message) for one in service_faults("", service)]
    for index, unit in enumerate(service.billing_units):
        place = f"billing_units.{index}"
        plans = {plan.id for plan in service.plans if plan.type == unit.priced_by}
        said = {name for plan in service.plans if plan.id in plans for name in plan.properties}
        said |= {name for override in service.overrides if override.plan in plans for name in override.properties}
        for path, name in _named_properties(unit):
            if plans and name not in said:
                message = f"no {unit.priced_by} of service {service.id!r} has a property {name!r}"
                found.append(Fault(f"{place}.{path}", message))
    return found


def _named_properties(unit: BillingUnit) -> Iterator[tuple[str, str]]:
    """The properties that a unit cannot do without, each with the place that names it."""
    model = unit.price_model
    if takes_unit_price(model):
        yield "price", unit.price
    amounts = {"minimum": model.minimum, "maximum": model.maximum}
    match model:
        case IncludedPrice(included=included):
            amounts["included"] = included
        case PackagePrice(size=size):
            amounts["size"] = size
        case GraduatedPrice(tiers=tiers) | VolumePrice(tiers=tiers):
            amounts |= {f"tiers.{number}.price": tier.price for number, tier in enumerate(tiers)}
        case _:
            pass
    for path, said in amounts.items():
        if said is not None and not is_number(said):
            yield f"price_model.{path}", said


def _unit(number: int, service: str, unit: BillingUnit) -> Row:
    counter = unit.quantity.counter if isinstance(unit.quantity, CounterQuantity) else None
    model, convert = unit.price_model.model, unit.convert
    return {
        "unit_no": number,
        "service": service,
        **unit.model_dump(include={"id", "plan_type", "price", "cost", "stock_code", "unit_code"}),
        # Only what its view names has the kind of a view's unit.
        "unit": f"view:{number}" if isinstance(unit.unit, ViewUnit) else unit.unit,
        "view": f"{unit.unit.view}:{unit.unit.version}" if isinstance(unit.unit, ViewUnit) else None,
        "counter": counter,
        "factor": None if convert is None else plain(factor(convert.from_unit, convert.to_unit)),
        "conversion": "" if convert is None else f":{convert.from_unit}->{convert.to_unit}",
        "description_format": _description_format(unit.description),
        "model": None if model == "flat" else model,
    }


def _description_format(pattern: str) -> str | None:
    """``pattern`` as PostgreSQL's ``format`` takes it: the fields by their number; None for the usual description."""
    found = pattern.replace("%", "%%")
    for number, field in enumerate(DESCRIPTION_FIELDS, start=1):
        found = found.replace(f"{{{field}}}", f"%{number}$s")
    return found or None


def _amounts(model: PriceModel, price: str) -> Iterator[Row]:
    limits = {"minimum": model.minimum, "maximum": model.maximum}
    for part, said in limits.items():
        if said is not None:
            yield _amount(0, part, said)
    match model:
        case FlatPrice():
            if any(limits.values()):
                yield _property(1, "price", price)
        case IncludedPrice(included=included):
            yield _amount(1, "up_to", included)
            yield _property(2, "price", price)
        case PackagePrice(size=size):
            yield _amount(0, "size", size)
            yield _property(1, "price", price)
        case GraduatedPrice(tiers=tiers) | VolumePrice(tiers=tiers):
            for number, tier in enumerate(tiers, start=1):
                if tier.up_to_inclusive is not None:
                    yield _amount(number, "up_to", tier.up_to_inclusive)
                yield _amount(number, "price", tier.price)


def _amount(n: int, part: str, said: str) -> Row:
    if is_number(said):
        return {"n": n, "part": part, "name": None, "number": said}
    return _property(n, part, said)


def _property(n: int, part: str, name: str) -> Row:
    return {"n": n, "part": part, "name": name, "number": None}
