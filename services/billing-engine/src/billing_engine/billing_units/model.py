"""Billing units as a transfer works with them; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tallyport.contracts.catalog import BillingUnit, CounterQuantity
from tallyport.contracts.pricing import (
    FlatPrice,
    GraduatedPrice,
    IncludedPrice,
    PackagePrice,
    PriceModel,
    VolumePrice,
    is_number,
)

Row = dict[str, Any]
Schemas = Mapping[str, Sequence[BillingUnit]]
"""The units of each service."""


def work_rows(schemas: Schemas) -> tuple[list[Row], list[Row]]:
    """The units that make lines, ranked, and the numbers that their price models need.

    A unit with the plain flat price has none: what it costs is a quantity times a price.
    """
    ranked = sorted(
        ((service, unit) for service, units in schemas.items() for unit in units),
        key=lambda one: (one[0], one[1].id),
    )
    units: list[Row] = []
    amounts: list[Row] = []
    for number, (service, unit) in enumerate(ranked, start=1):
        units.append(_unit(number, service, unit))
        amounts += [{"unit_no": number, **row} for row in _amounts(unit.price_model, unit.price)]
    return units, amounts


def _unit(number: int, service: str, unit: BillingUnit) -> Row:
    counter = unit.quantity.counter if isinstance(unit.quantity, CounterQuantity) else None
    model = unit.price_model.model
    return {
        "unit_no": number,
        "service": service,
        **unit.model_dump(include={"id", "plan_type", "unit", "price", "cost", "stock_code", "unit_code"}),
        "counter": counter,
        "model": None if model == "flat" else model,
    }


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
