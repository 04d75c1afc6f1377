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
from tallyport.pricing.currencies import Exchange
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


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Where a model's numbers come from. Numbers of the unit itself are in the plan's currency."""

    lookup: Lookup
    exchange: Exchange | None
    plan_currency: str | None

    def property(self, name: str, *, money: bool = True) -> Decimal:
        said = self.lookup(name)
        number = said.as_number() if said is not None else None
        if said is None or number is None:
            raise _MissingError(name)
        return self._in_currency(number, said.currency) if money else number

    def amount(self, text: str, *, money: bool = True) -> Decimal:
        if not is_number(text):
            return self.property(text, money=money)
        number = parse_decimal(text)
        return self._in_currency(number, self.plan_currency) if money else number

    def _in_currency(self, number: Decimal, currency: str | None) -> Decimal:
        converted = number if self.exchange is None else self.exchange.convert(number, currency)
        if converted is None:
            raise _MissingError(currency)
        return converted

    def allowance(self, text: str) -> Decimal | None:
        if is_number(text):
            return parse_decimal(text)
        said = self.lookup(text)
        if said is None:
            raise _MissingError(text)
        number = said.as_number()
        return None if number is None else max(number, Decimal(0))

    def size(self, text: str) -> Decimal:
        size = self.amount(text, money=False)
        if size <= 0:
            raise _MissingError(text)
        return size

    def tier(self, tier: PriceTier) -> Tier:
        bound = None if tier.up_to_inclusive is None else parse_decimal(tier.up_to_inclusive)
        return Tier(bound, self.amount(tier.price))


def priced(
    model: PriceModel,
    price: str,
    lookup: Lookup,
    exchange: Exchange | None = None,
    plan_currency: str | None = None,
) -> Priced | None:
    """``model`` with its numbers; ``price`` is the unit's price property. None when one of them is missing.

    What should be a number and is none is missing too, and so is an amount that ``exchange`` cannot convert; without
    one, all amounts are taken for the currency that is billed.
    An allowance that is said but is no number ("Unlimited") includes everything; one that nobody says is missing.
    """
    numbers = _Numbers(lookup, exchange, plan_currency)
    try:
        low, high = (None if text is None else numbers.amount(text) for text in (model.minimum, model.maximum))
        return Priced(_rule(model, price, numbers), Limits(low, high))
    except _MissingError:
        return None


def _rule(model: PriceModel, price: str, numbers: _Numbers) -> Rule:
    match model:
        case FlatPrice():
            return Flat(numbers.property(price))
        case IncludedPrice(included=included):
            return Included(numbers.allowance(included), numbers.property(price))
        case GraduatedPrice(tiers=tiers):
            return Graduated([numbers.tier(tier) for tier in tiers])
        case VolumePrice(tiers=tiers):
            return Volume([numbers.tier(tier) for tier in tiers])
        case PackagePrice(size=size):
            return Package(numbers.size(size), numbers.property(price))
