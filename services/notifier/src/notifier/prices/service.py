"""Quotes: what an action adds to a customer's bill, as the projections stand now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from tallyport.contracts.actions import PlanAdded, PlanChangedFor, Quote

from notifier.prices import store
from notifier.prices.model import Customer, quote


@dataclass(frozen=True, slots=True)
class Quoted:
    """A customer, what the items cost it, and the names of their plans by id."""

    customer: Customer
    quote: Quote
    plan_names: Mapping[str, str]


async def quote_for(
    connection: Any, customer_id: str, items: Sequence[PlanAdded | PlanChangedFor], day: date
) -> Quoted | None:
    """The customer and the quote of ``day``; None if nobody has told of the customer."""
    customer = await store.customer(connection, customer_id)
    if customer is None:
        return None
    plans: list[str] = []
    for item in items:
        plans += [item.plan] if isinstance(item, PlanAdded) else [item.from_plan, item.to_plan]
    book = await store.price_book(connection, plans)
    return Quoted(customer, quote(customer, book, items, day), {one.id: one.name for one in book.plans.values()})


async def customer_of(connection: Any, customer_id: str) -> Customer | None:
    """The customer; None where nobody has told of it."""
    return await store.customer(connection, customer_id)
