"""What an action adds to a customer's bill, by the price inheritance that the engine bills by; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from tallyport.contracts.actions import PlanAdded, PlanChangedFor, Quote, QuoteLine
from tallyport.contracts.catalog import BillingUnit
from tallyport.contracts.currencies import ConversionRate
from tallyport.contracts.rules import NonBillableRule
from tallyport.money import line_total, plain
from tallyport.pricing.currencies import Exchange
from tallyport.pricing.inheritance import PlanValues, effective
from tallyport.pricing.resolving import priced


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as the notifier knows it; ``chain`` is its id and the ids above it, nearest first."""

    id: str
    name: str
    chain: Sequence[str]
    location: str | None
    language: str | None
    currency: str | None
    imported: bool


@dataclass(frozen=True, slots=True)
class PricedPlan:
    """A plan, everything said about its properties, and the published units that bill by it."""

    id: str
    service: str
    name: str
    type: str
    currency: str
    values: PlanValues
    units: Sequence[BillingUnit] | None = None


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The plans a request is about, and what is said of all plans."""

    plans: Mapping[str, PricedPlan] = field(default_factory=dict)
    rates: Sequence[ConversionRate] = ()
    rules: Sequence[NonBillableRule] = ()


def unit_price(customer: Customer, plan: PricedPlan | None, book: PriceBook, day: date) -> Decimal | None:
    """What one more of ``plan`` costs the customer per period; None when nobody can say.

    It is the sum over the published units that bill the plan by status; a unit that measures cannot be known ahead.
    ``day`` is the usage day it begins on: rates and rules are dated.
    """
    prices = unit_prices(customer, plan, book, day)
    return None if prices is None else sum(prices, Decimal(0))


def unit_prices(customer: Customer, plan: PricedPlan | None, book: PriceBook, day: date) -> Sequence[Decimal] | None:
    """What each line of one more of ``plan`` costs, before it is rounded; None when nobody can say of one of them."""
    if plan is None or plan.units is None:
        return None
    if _not_charged(customer, plan, book.rules, day):
        return [Decimal(0)]
    exchange = Exchange(customer.currency or plan.currency, day, book.rates)
    subject = "instance" if plan.type == "customer_plan" else "user"
    prices: list[Decimal] = []
    for unit in plan.units:
        if unit.subject != subject or not unit.active:
            continue
        if unit.quantity != "status":
            return None
        rule = priced(
            unit.price_model,
            unit.price,
            lambda name: effective(name, plan.values, customer.chain, customer.location),
            exchange,
            plan.currency,
        )
        if rule is None:
            return None
        # Every line of a unit by status has the quantity 1, so that is what one more of it costs.
        prices.append(rule.charge(Decimal(1)).amount)
    return prices


def _not_charged(customer: Customer, plan: PricedPlan, rules: Sequence[NonBillableRule], day: date) -> bool:
    """Whether a rule says so whoever the user is and whatever the status; neither is known ahead."""
    return any(
        rule.user is None
        and rule.status is None
        and (rule.organisation is None or rule.organisation in customer.chain)
        and (rule.service is None or rule.service == plan.service)
        and (rule.plan is None or rule.plan == plan.id)
        and (rule.valid_from is None or rule.valid_from <= day)
        and (rule.valid_to is None or day <= rule.valid_to)
        for rule in rules
    )


def _changes(items: Sequence[PlanAdded | PlanChangedFor]) -> list[tuple[str, Decimal]]:
    """Each plan with how many more of it there will be."""
    changes: list[tuple[str, Decimal]] = []
    for item in items:
        if isinstance(item, PlanAdded):
            changes.append((item.plan, item.quantity_delta))
        else:
            changes += [(item.from_plan, -item.quantity), (item.to_plan, item.quantity)]
    return changes


def quote(customer: Customer, book: PriceBook, items: Sequence[PlanAdded | PlanChangedFor], day: date) -> Quote:
    """The quote for ``items`` that begin on ``day``; its hash covers the customer, every line and the sum."""
    changes = _changes(items)
    named = [book.plans[plan].currency for plan, _ in changes if plan in book.plans]
    # A customer without a currency is billed in each plan's own; amounts in several make no sum.
    currency = customer.currency or (named[0] if len(set(named)) == 1 else None)
    lines: list[QuoteLine] = []
    for plan, quantity in changes:
        prices = unit_prices(customer, book.plans.get(plan), book, day)
        price = None if prices is None else sum(prices, Decimal(0))
        difference = _billed(quantity, prices, currency) if prices is not None and currency is not None else None
        lines.append(QuoteLine(plan=plan, quantity=quantity, unit_price=price, difference=difference))
    differences = [line.difference for line in lines if line.difference is not None]
    known = len(differences) == len(lines)
    total = sum(differences, Decimal(0)) if known else None
    content = [
        customer.id,
        currency,
        [line.model_dump(mode="json") for line in lines],
        None if total is None else plain(total),
    ]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Quote(
        currency=currency,
        lines=lines,
        before=-sum((one for one in differences if one < 0), Decimal(0)) if known else None,
        after=sum((one for one in differences if one > 0), Decimal(0)) if known else None,
        difference=total,
        sha256=digest,
    )


def _billed(quantity: Decimal, prices: Sequence[Decimal], currency: str) -> Decimal:
    """What ``quantity`` of them add to the bill: each is lines of its own there, and each line is rounded."""
    each = sum((line_total(Decimal(1), price, currency) for price in prices), Decimal(0))
    return line_total(quantity, each, currency)
