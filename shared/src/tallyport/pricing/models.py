"""What a quantity costs: the price models as plain functions. The billing engine applies the same rules in SQL.

A quantity of zero or less costs nothing, whatever the minimum; only the flat price gives a negative quantity (which is
a credit) a negative amount. Amounts are exact; whoever makes a line rounds them, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from itertools import pairwise
from typing import Final

# Sums of products of accepted numbers are exact in it; anything that would lose a digit raises.
_EXACT: Final = Context(prec=400, traps=[Inexact, InvalidOperation])
_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Flat:
    """Each costs the same."""

    price: Decimal


@dataclass(frozen=True, slots=True)
class Included:
    """The first ``included`` are free (None: all of them), each above costs ``price``."""

    included: Decimal | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class Tier:
    """From above the tier before up to ``up_to_inclusive``; None: no end."""

    up_to_inclusive: Decimal | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class Graduated:
    """Each part of the quantity costs the price of its tier."""

    tiers: Sequence[Tier]


@dataclass(frozen=True, slots=True)
class Volume:
    """The whole quantity costs the price of the tier it reaches."""

    tiers: Sequence[Tier]


@dataclass(frozen=True, slots=True)
class Package:
    """Each started package of ``size`` costs ``price``."""

    size: Decimal
    price: Decimal


Rule = Flat | Included | Graduated | Volume | Package


@dataclass(frozen=True, slots=True)
class Limits:
    """What a line costs at least and at most; the minimum is stronger. None: no such limit."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Charge:
    """The exact amount, and which limit made it so: ``minimum``, ``maximum`` or nothing."""

    amount: Decimal
    limited_by: str = ""


def charge(rule: Rule, quantity: Decimal, limits: Limits = NO_LIMITS) -> Charge:
    """What ``quantity`` costs by ``rule`` within ``limits``, exact."""
    with localcontext(_EXACT):
        if isinstance(rule, Flat) and limits == NO_LIMITS:
            return Charge(quantity * rule.price)
        if quantity <= 0:
            return Charge(_NOTHING)
        amount = _unlimited(rule, quantity)
    if limits.minimum is not None and amount < limits.minimum:
        return Charge(limits.minimum, "minimum")
    if limits.maximum is not None and amount > limits.maximum:
        if limits.minimum is not None and limits.minimum > limits.maximum:
            return Charge(limits.minimum, "minimum")
        return Charge(limits.maximum, "maximum")
    return Charge(amount)


def _unlimited(rule: Rule, quantity: Decimal) -> Decimal:
    match rule:
        case Flat(price):
            return quantity * price
        case Included(included, price):
            return _NOTHING if included is None else max(quantity - included, _NOTHING) * price
        case Graduated(tiers):
            return _graduated(tiers, quantity)
        case Volume(tiers):
            return quantity * _tier_of(tiers, quantity).price
        case Package(size, price):
            whole, rest = divmod(quantity, size)
            return (whole + (1 if rest > 0 else 0)) * price


def _tier_of(tiers: Sequence[Tier], quantity: Decimal) -> Tier:
    return next(tier for tier in tiers if tier.up_to_inclusive is None or quantity <= tier.up_to_inclusive)


def _graduated(tiers: Sequence[Tier], quantity: Decimal) -> Decimal:
    amount = _NOTHING
    bounds = [_NOTHING, *(tier.up_to_inclusive for tier in tiers)]
    for tier, (above, up_to) in zip(tiers, pairwise(bounds), strict=True):
        if above is not None and quantity > above:
            end = quantity if up_to is None else min(quantity, up_to)
            amount += (end - above) * tier.price
    return amount
