"""Quotes: what an action adds to a customer's bill, as the projections stand now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from tallyport.contracts.actions import PlanAdded, PlanChangedFor, Quote

from notifier.prices import store
from notifier.prices.model import Customer, quote


async def quote_for(
    connection: Any, customer_id: str, items: Sequence[PlanAdded | PlanChangedFor], day: date
) -> tuple[Customer, Quote] | None:
    """The customer and the quote of ``day``; None if nobody has told of the customer."""
    customer = await store.customer(connection, customer_id)
    if customer is None:
        return None
    plans: list[str] = []
    for item in items:
        plans += [item.plan] if isinstance(item, PlanAdded) else [item.from_plan, item.to_plan]
    return customer, quote(customer, await store.price_book(connection, plans), items, day)


async def customer_of(connection: Any, customer_id: str) -> Customer | None:
    """The customer; None where nobody has told of it."""
    return await store.customer(connection, customer_id)
