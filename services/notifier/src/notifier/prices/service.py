"""Quotes: what an action adds to a customer's bill, as the projections stand now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from tallyport.contracts.actions import PlanAdded, PlanChangedFor, Quote

from notifier.prices import store
from notifier.prices.model import Customer, PriceBook, quote


@dataclass(frozen=True, slots=True)
class Quoted:
    """A customer, what the items cost it, and the names of their plans by id."""

    customer: Customer
    quote: Quote
    plan_names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prices:
    """What is known of some customers and plans, read at once for whatever is to be quoted."""

    customers: Mapping[str, Customer]
    book: PriceBook

    def quote(self, customer_id: str, items: Sequence[PlanAdded | PlanChangedFor], day: date) -> Quoted | None:
        """The quote of ``day``; None if nobody has told of the customer."""
        customer = self.customers.get(customer_id)
        if customer is None:
            return None
        names = {one.id: one.name for one in self.book.plans.values()}
        return Quoted(customer, quote(customer, self.book, items, day), names)


async def prices_of(
    connection: Any, customer_ids: Iterable[str], items: Iterable[PlanAdded | PlanChangedFor]
) -> Prices:
    """What is known of the customers and of the plans of the items."""
    plans: set[str] = set()
    for item in items:
        plans |= {item.plan} if isinstance(item, PlanAdded) else {item.from_plan, item.to_plan}
    customers = await store.customers(connection, set(customer_ids))
    return Prices(customers, await store.price_book(connection, plans))


async def quote_for(
    connection: Any, customer_id: str, items: Sequence[PlanAdded | PlanChangedFor], day: date
) -> Quoted | None:
    """The customer and the quote of ``day``; None if nobody has told of the customer."""
    return (await prices_of(connection, [customer_id], items)).quote(customer_id, items, day)


async def customer_of(connection: Any, customer_id: str) -> Customer | None:
    """The customer; None where nobody has told of it."""
    return (await store.customers(connection, [customer_id])).get(customer_id)
