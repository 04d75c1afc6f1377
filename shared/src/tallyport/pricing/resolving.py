"""A unit's price model with a customer's own numbers put into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from tallyport.contracts.pricing import (
    FlatPrice,
    GraduatedPrice,
    IncludedPrice,
    PackagePrice,
    PriceModel,
    PriceTier,
    VolumePrice,
    is_number,
)
from tallyport.money import parse_decimal
from tallyport.pricing.inheritance import Effective
from tallyport.pricing.models import Charge, Flat, Graduated, Included, Limits, Package, Rule, Tier, Volume, charge

Lookup = Callable[[str], Effective | None]
"""The effective value of a plan property; None where nobody says one."""


@dataclass(frozen=True, slots=True)
class Priced:
    """A rule and its limits, all numbers known."""

    rule: Rule
    limits: Limits

    def charge(self, quantity: Decimal) -> Charge:
        """What ``quantity`` costs."""
        return charge(self.rule, quantity, self.limits)


class _MissingError(LookupError):
    pass


def priced(model: PriceModel, price: str, lookup: Lookup) -> Priced | None:
    """``model`` with its numbers; ``price`` is the unit's price property. None when one of them is missing.

    What should be a number and is none is missing too.
    An allowance that is said but is no number ("Unlimited") includes everything; one that nobody says is missing.
    """
    try:
        return Priced(_rule(model, price, lookup), _limits(model, lookup))
    except _MissingError:
        return None


def _property(name: str, lookup: Lookup) -> Decimal:
    said = lookup(name)
    number = said.as_number() if said is not None else None
    if number is None:
        raise _MissingError(name)
    return number


def _amount(text: str, lookup: Lookup) -> Decimal:
    return parse_decimal(text) if is_number(text) else _property(text, lookup)


def _allowance(text: str, lookup: Lookup) -> Decimal | None:
    if is_number(text):
        return parse_decimal(text)
    said = lookup(text)
    if said is None:
        raise _MissingError(text)
    number = said.as_number()
    return None if number is None else max(number, Decimal(0))


def _limits(model: PriceModel, lookup: Lookup) -> Limits:
    low, high = (None if text is None else _amount(text, lookup) for text in (model.minimum, model.maximum))
    return Limits(low, high)


def _tier(tier: PriceTier, lookup: Lookup) -> Tier:
    bound = None if tier.up_to_inclusive is None else parse_decimal(tier.up_to_inclusive)
    return Tier(bound, _amount(tier.price, lookup))


def _size(text: str, lookup: Lookup) -> Decimal:
    size = _amount(text, lookup)
    if size <= 0:
        raise _MissingError(text)
    return size


def _rule(model: PriceModel, price: str, lookup: Lookup) -> Rule:
    match model:
        case FlatPrice():
            return Flat(_property(price, lookup))
        case IncludedPrice(included=included):
            return Included(_allowance(included, lookup), _property(price, lookup))
        case GraduatedPrice(tiers=tiers):
            return Graduated([_tier(tier, lookup) for tier in tiers])
        case VolumePrice(tiers=tiers):
            return Volume([_tier(tier, lookup) for tier in tiers])
        case PackagePrice(size=size):
            return Package(_size(size, lookup), _property(price, lookup))
