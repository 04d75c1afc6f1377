"""What a draft would change: lines computed by it and by the published version from one snapshot, nothing written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from tallyport.contracts.billing import LINE_COLUMNS
from tallyport.contracts.catalog import BillingUnit

from billing_engine.billing_units.model import Schemas, view_works, work_rows
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.model import Dates, ViewWork
from billing_engine.billing_views.running import ViewRunner
from billing_engine.transfers.lines import store

CUSTOMERS_PER_RANGE: Final = 500
ROWS_PER_PART: Final = 2000
_CUSTOMER, _UNIT, _TOTAL, _CURRENCY = map(LINE_COLUMNS.index, ("customer_id", "unit", "total", "currency"))
# The sets of rules, as the first character of a line's unit: what is the same in both, and what is only in either.
_BOTH, _BEFORE, _AFTER = "=-+"
_FOR_ALL: Final = "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL enable_nestloop = off"
# Here it takes longer to plan than to compute, so a connection plans once for whatever customer. Row by row is the way
# to the few rows that the working set is made of; how many things a customer has is not known to such a plan.
_FOR_ONE: Final = (
    "SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan; "
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
)
_ITS_LINES: Final = "SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on"

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
    """Compute the lines of ``service`` by both rules, in the way transfers do; ``customer`` narrows it to one.

    ``within`` narrows it to an organisation and what is below it; a customer elsewhere is then unknown.

    The transaction is read-only from the moment its temporary tables exist.

    Raises:
        UnknownCustomerError: the customer has no billed service.
        ViewFailedError: a registered view does not give what it has to.
    """
    both = [unit for unit in published if unit in draft]
    sets = {
        _BOTH: {service: both},
        _BEFORE: {service: [unit for unit in published if unit not in both]},
        _AFTER: {service: [unit for unit in draft if unit not in both]},
    }
    await store.create_work(connection)
    await billing_views.create_work(connection)
    async with _nothing_kept(connection):
        await connection.execute(f"SET TRANSACTION READ ONLY; {_FOR_ALL if customer is None else _FOR_ONE}")
        works = _view_works(sets)
        async with _answers(connection, views, works, dates, customer) as answers:
            customers = await store.fill_work(connection, sets, dates.usage_day, customer=customer)
            if within is not None:
                below = set(await store.customers_within(connection, within))
                customers = [number for number in customers if number in below]
            if customer is not None and not customers:
                raise UnknownCustomerError(f"{customer!r} has no billed service, or there is no such customer")
            if customer is not None:
                await connection.execute(_ITS_LINES)
            if answers is not None:
                await billing_views.take_answers(connection, await answers, customers[0])
        if customer is None:
            await billing_views.fill(views, [connection], works, dates)
        before, after = await _bills(connection, customers, dates.usage_day)
    changes = [
        CustomerChange(*key, before.get(key, Figures()), after.get(key, Figures()))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    changes.sort(key=lambda one: -abs(one.difference))
    return Preview(_sums(before), _sums(after), changes)


@asynccontextmanager
async def _nothing_kept(connection: Any) -> AsyncIterator[None]:
    """A transaction on one snapshot that is taken back at its end: there is nothing to keep.

    That is quicker than to empty the tables of the working set, which a transaction that is committed does.
    """
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


@asynccontextmanager
async def _answers(
    connection: Any, views: ViewRunner, works: Sequence[ViewWork], dates: Dates, customer: str | None
) -> AsyncIterator[asyncio.Task[Any] | None]:
    """What the views say of a customer, being asked beside whatever is done meanwhile; None where all are looked at."""
    asked = await billing_views.questions(connection, works, customer) if customer is not None else []
    if not asked:
        yield None
        return
    snapshot = await billing_views.export_snapshot(connection)
    answering = asyncio.create_task(billing_views.answers(views, asked, dates, snapshot=snapshot))
    try:
        yield answering
    finally:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


def _view_works(sets: Mapping[str, Schemas]) -> list[ViewWork]:
    found: list[ViewWork] = []
    after = 0
    for schemas in sets.values():
        found += view_works(schemas, after=after)
        after += len(work_rows(schemas)[0])
    return found


async def _bills(
    connection: Any, customers: Sequence[int], usage_day: date
) -> tuple[dict[Key, Figures], dict[Key, Figures]]:
    before: dict[Key, Figures] = {}
    after: dict[Key, Figures] = {}
    found = {_BOTH: (before, after), _BEFORE: (before,), _AFTER: (after,)}
    for at in range(0, len(customers), CUSTOMERS_PER_RANGE):
        some = customers[at : at + CUSTOMERS_PER_RANGE]
        lines = await store.compute_lines(connection, customers=some, rows_per_part=ROWS_PER_PART, usage_day=usage_day)
        for part in lines.parts:
            for row in json.loads(f"[{part.rows}]"):
                for bill in found[row[_UNIT][0]]:
                    figures = bill.setdefault((row[_CUSTOMER], row[_CURRENCY]), Figures())
                    figures.lines += 1
                    figures.total += Decimal(row[_TOTAL])
    return before, after


def _sums(bill: dict[Key, Figures]) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for (_, currency), one in bill.items():
        sums = found.setdefault(currency, Figures())
        sums.lines += one.lines
        sums.total += one.total
    return dict(sorted(found.items()))
