"""Billing units as a transfer works with them; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tallyport.contracts.catalog import BillingUnit
from tallyport.contracts.pricing import (
    FlatPrice,
    GraduatedPrice,
    IncludedPrice,
    PackagePrice,
    PriceModel,
    VolumePrice,
    is_number,
)
from tallyport.contracts.units import DESCRIPTION_FIELDS, CounterQuantity
from tallyport.money import plain
from tallyport.pricing.conversion import factor

Row = dict[str, Any]
Schemas = Mapping[str, Sequence[BillingUnit]]
"""The units of each service."""


def work_rows(schemas: Schemas) -> tuple[list[Row], list[Row]]:
    """The units that make lines, ranked, and the numbers that their price models need.

    A unit with the plain flat price has none: what it costs is a quantity times a price.
    """
    ranked = sorted(
        ((service, unit) for service, units in schemas.items() for unit in units if unit.active),
        key=lambda one: (one[0], one[1].order, one[1].id),
    )
    units: list[Row] = []
    amounts: list[Row] = []
    for number, (service, unit) in enumerate(ranked, start=1):
        units.append(_unit(number, service, unit))
        amounts += [{"unit_no": number, **row} for row in _amounts(unit.price_model, unit.price)]
    return units, amounts


def _unit(number: int, service: str, unit: BillingUnit) -> Row:
    counter = unit.quantity.counter if isinstance(unit.quantity, CounterQuantity) else None
    model, convert = unit.price_model.model, unit.convert
    return {
        "unit_no": number,
        "service": service,
        **unit.model_dump(include={"id", "plan_type", "unit", "price", "cost", "stock_code", "unit_code"}),
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
