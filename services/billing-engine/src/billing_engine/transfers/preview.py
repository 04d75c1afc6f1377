"""What a draft would change: lines computed by it and by the published version from one snapshot, nothing written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from tallyport.contracts.billing import LINE_COLUMNS
from tallyport.contracts.catalog import BillingUnit

from billing_engine.billing_units.model import Schemas, view_works
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.model import Dates
from billing_engine.billing_views.running import ViewRunner
from billing_engine.transfers import store

CUSTOMERS_PER_RANGE: Final = 500
ROWS_PER_PART: Final = 2000
_CUSTOMER, _TOTAL, _CURRENCY = (LINE_COLUMNS.index(name) for name in ("customer_id", "total", "currency"))

Key = tuple[str, str]


class UnknownCustomerError(LookupError):
    """Nobody of that name has a billed service."""


@dataclass(slots=True)
class Figures:
    """What a customer has in one currency."""

    lines: int = 0
    total: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class CustomerChange:
    """A customer's lines and total by the published version and by the draft."""

    customer: str
    currency: str
    before: Figures
    after: Figures

    @property
    def difference(self) -> Decimal:
        """What the customer would pay more; negative: less."""
        return self.after.total - self.before.total


@dataclass(frozen=True, slots=True)
class Preview:
    """Both bills of one service. ``changed`` are the customers for whom something differs, the largest first."""

    before: dict[str, Figures] = field(default_factory=dict)
    after: dict[str, Figures] = field(default_factory=dict)
    changed: list[CustomerChange] = field(default_factory=list)


async def preview(
    connection: Any,
    service: str,
    *,
    published: Sequence[BillingUnit],
    draft: Sequence[BillingUnit],
    dates: Dates,
    views: ViewRunner,
    customer: str | None = None,
    within: str | None = None,
) -> Preview:
    """Compute the lines of ``service`` twice, by the statement that transfers use; ``customer`` narrows it to one.

    ``within`` narrows it to an organisation and what is below it; a customer elsewhere is then unknown.

    The transaction is read-only from the moment its temporary tables exist.

    Raises:
        UnknownCustomerError: the customer has no billed service.
        ViewFailedError: a registered view does not give what it has to.
    """
    usage_day = dates.usage_day

    async def run_views(schemas: Schemas) -> None:
        await billing_views.clear_work(connection)
        await billing_views.fill(views, [connection], view_works(schemas), dates)

    async with connection.transaction(isolation="repeatable_read"):
        await store.create_work(connection)
        await billing_views.create_work(connection)
        await connection.execute("SET TRANSACTION READ ONLY")
        await connection.execute("SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL enable_nestloop = off")
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        customers = await store.fill_work(connection, {service: published}, usage_day, customer=customer)
        if within is not None:
            below = set(await store.customers_within(connection, within))
            customers = [number for number in customers if number in below]
        if customer is not None and not customers:
            raise UnknownCustomerError(f"{customer!r} has no billed service, or there is no such customer")
        await run_views({service: published})
        before = await _bill(connection, customers, usage_day)
        await store.fill_units(connection, {service: draft}, usage_day)
        # A view takes longer than anything else here; what both read alike is there already.
        if view_works({service: draft}) != view_works({service: published}):
            await run_views({service: draft})
        after = await _bill(connection, customers, usage_day)
    changes = [
        CustomerChange(*key, before.get(key, Figures()), after.get(key, Figures()))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    changes.sort(key=lambda one: -abs(one.difference))
    return Preview(_sums(before), _sums(after), changes)


async def _bill(connection: Any, customers: Sequence[int], usage_day: date) -> dict[Key, Figures]:
    found: dict[Key, Figures] = {}
    for at in range(0, len(customers), CUSTOMERS_PER_RANGE):
        some = customers[at : at + CUSTOMERS_PER_RANGE]
        lines = await store.compute_lines(connection, customers=some, rows_per_part=ROWS_PER_PART, usage_day=usage_day)
        for part in lines.parts:
            for row in json.loads(f"[{part.rows}]"):
                figures = found.setdefault((row[_CUSTOMER], row[_CURRENCY]), Figures())
                figures.lines += 1
                figures.total += Decimal(row[_TOTAL])
    return found


def _sums(bill: dict[Key, Figures]) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for (_, currency), one in bill.items():
        sums = found.setdefault(currency, Figures())
        sums.lines += one.lines
        sums.total += one.total
    return dict(sorted(found.items()))
