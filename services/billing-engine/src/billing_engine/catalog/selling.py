"""What a reseller may say about the prices of those below it: what units charge by, and not below its own; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from tallyport.contracts.catalog import BillingUnit, Override, Plan
from tallyport.contracts.currencies import ConversionRate
from tallyport.contracts.pricing import (
    GraduatedPrice,
    IncludedPrice,
    PackagePrice,
    VolumePrice,
    is_number,
    takes_unit_price,
)
from tallyport.money import NotANumberError, parse_decimal, plain
from tallyport.pricing.currencies import Exchange
from tallyport.pricing.inheritance import Effective, PlanValues, effective

from billing_engine.catalog.model import Fault


@dataclass(slots=True)
class PriceNames:
    """The properties by which units charge: ``amounts`` of money, ``allowances`` that are given for them, ``costs``."""

    amounts: set[str] = field(default_factory=set)
    allowances: set[str] = field(default_factory=set)
    costs: set[str] = field(default_factory=set)
    stock_codes: set[str] = field(default_factory=set)

    @property
    def sold_by(self) -> set[str]:
        """What a level of the tree may say for those below it."""
        return (self.amounts | self.allowances) - self.costs

    @property
    def shown(self) -> set[str]:
        """What a level of the tree may see. All else may be about what the levels above it pay."""
        return self.sold_by | (self.stock_codes - self.costs)


def price_names(units: Iterable[BillingUnit], plan: Plan) -> PriceNames:
    """The properties of ``plan`` by which ``units`` charge."""
    found = PriceNames()
    for unit in units:
        if unit.priced_by != plan.type:
            continue
        found.costs.add(unit.cost)
        found.stock_codes.add(unit.stock_code)
        model = unit.price_model
        amounts = [model.minimum, model.maximum, unit.price if takes_unit_price(model) else None]
        match model:
            case GraduatedPrice(tiers=tiers) | VolumePrice(tiers=tiers):
                amounts += [tier.price for tier in tiers]
            case IncludedPrice(included=allowance) | PackagePrice(size=allowance) if not is_number(allowance):
                found.allowances.add(allowance)
            case _:
                pass
        found.amounts |= {one for one in amounts if one is not None and not is_number(one)}
    return found


def only(override: Override | None, names: set[str]) -> Override | None:
    """What an override says about ``names``; None if that is nothing."""
    said = {name: value for name, value in override.properties.items() if name in names} if override is not None else {}
    return override.model_copy(update={"properties": said}) if override is not None and said else None


def with_foreign(names: PriceNames, plan: str, before: Override | None, wanted: Override | None) -> Override | None:
    """``wanted`` by a reseller, with what ``before`` says that is not the reseller's to say: that stays."""
    old = before.properties if before is not None else {}
    kept = {name: value for name, value in old.items() if name not in names.sold_by}
    said = kept | (wanted.properties if wanted is not None else {})
    if not said:
        return None
    first = wanted or before
    currency = first.currency if first is not None else None
    organisation = first.organisation if first is not None else None
    return Override(plan=plan, organisation=organisation, currency=currency, properties=said)


def foreign_faults(names: PriceNames, plan: Plan, before: Override | None, after: Override | None) -> Iterator[Fault]:
    """What a reseller would change that is not its to say. What it may not see is not named."""
    old, new = (one.properties if one is not None else {} for one in (before, after))
    yours = ", ".join(sorted(names.sold_by)) or "none"
    for name in sorted(new.keys() - names.sold_by):
        if old.get(name) != new[name]:
            message = f"plan {plan.id!r} is not charged by {name!r}; yours to set are: {yours}"
            yield Fault(f"properties.{name}", message)
    if old.keys() - names.sold_by and after is not None and _currency(before, plan) != _currency(after, plan):
        yield Fault("currency", "it is that of properties too which the provider set here, so it stays")


def _currency(override: Override | None, plan: Plan) -> str:
    return (override.currency if override is not None else None) or plan.currency


@dataclass(frozen=True, slots=True)
class Purchase:
    """How a reseller buys: the organisations from itself upwards, and every location that it delivers to."""

    chain: Sequence[str]
    locations: Sequence[str | None]
    rates: Sequence[ConversionRate]
    day: date


def cost_faults(names: PriceNames, plan: Plan, values: PlanValues, wanted: Override, by: Purchase) -> Iterator[Fault]:
    """Where ``wanted`` sells below what the reseller pays itself; a location where it pays more counts too."""
    for name in sorted(wanted.properties.keys() & names.sold_by):
        bought = [effective(name, values, by.chain, location) for location in by.locations]
        for cost in {one for one in bought if one is not None}:
            said = Effective(wanted.properties[name], "", _currency(wanted, plan))
            message = None
            if name in names.amounts:
                message = _below_cost(said, cost, by)
            if message is None and name in names.allowances:
                message = _above_allowance(said, cost)
            if message is not None:
                place = f"plan {plan.id!r}, {name}"
                yield Fault(f"properties.{name}", f"{place}: {message}")
                break


def _below_cost(said: Effective, cost: Effective, by: Purchase) -> str | None:
    price, paid = said.as_number(), cost.as_number()
    if price is None or paid is None:
        return None
    wanted = f"{plain(price)} {said.currency}"
    pays = f"the {plain(paid)} {cost.currency} that {by.chain[0]!r} pays itself"
    # Both sides in the currency of the cost, by the rate that a bill of today would take.
    exchange = Exchange(cost.currency or "", by.day, by.rates)
    converted = exchange.convert(price, said.currency)
    if converted is None:
        return f"{wanted} cannot be compared with {pays}: there is no rate from {said.currency} to {cost.currency}"
    return f"{wanted} is below {pays}" if converted < paid else None


def _above_allowance(said: Effective, cost: Effective) -> str | None:
    bought = cost.as_number()
    if bought is None:
        return None
    try:
        given = parse_decimal(said.value)
    except NotANumberError:
        return f"{said.value!r} is more than the {plain(bought)} that is bought"
    return f"{plain(given)} is more than the {plain(bought)} that is bought" if given > bought else None
