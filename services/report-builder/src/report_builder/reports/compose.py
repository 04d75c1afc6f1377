"""A report's document from the warehouse: its facts first, then its rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Literal, cast

from report_builder.documents.model import EXACT, BatchFacts, Document, DocumentError, Rendered, Renderer, Scope, Total
from report_builder.reports.model import Facts, PinnedBatch, Wanted
from report_builder.reports.store import Connection
from report_builder.warehouse import reading
from report_builder.warehouse.model import BatchKey

_WITH_CUSTOMERS: Final = ("xls", "xlsx")
_ROWS_PER_BLOCK: Final = 1000
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(slots=True)
class _Sum:
    name: str
    lines: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Composition:
    """Everything but the rows."""

    document: Document
    customers: dict[BatchKey, list[str] | None]
    """Whose lines are taken from each batch; None is everybody's."""
    sums: dict[tuple[str, str], _Sum]
    """By customer id and currency, for formats that show them."""
    remarks: Facts
    """What only became known here, for the completeness statement."""


@asynccontextmanager
async def compose(
    connection: Connection,
    wanted: Wanted,
    batches: Sequence[PinnedBatch],
    missing: Sequence[date],
    completeness: Facts,
) -> AsyncIterator[Composition]:
    """The document's facts; the rows are read in the same snapshot, while the block lasts.

    Raises:
        DocumentError: no batch knows the organisation.
    """
    async with reading.snapshot(connection):
        customers: dict[BatchKey, list[str] | None] = {}
        absent: list[str] = []
        scope: Scope | None = None
        for batch in batches:
            key = (batch.batch_date, batch.revision)
            customers[key] = None
            if wanted.organisation is not None:
                below = await reading.organisations_below(connection, key, wanted.organisation)
                customers[key] = below
                if below:
                    name = await reading.organisation_name(connection, key, wanted.organisation)
                    scope = Scope(wanted.organisation, name)
                else:
                    absent.append(batch.batch_date.isoformat())
        if wanted.organisation is not None and scope is None:
            raise DocumentError(
                f"organisation {wanted.organisation!r} is in none of the batches from {wanted.from_date} to "
                f"{wanted.to_date}; look up its id, or ask for other dates"
            )
        sums, facts = await _sums(connection, batches, customers, by_customer=wanted.format in _WITH_CUSTOMERS)
        remarks: Facts = {"dates_without_the_organisation": list(absent)} if absent else {}
        document = Document(
            from_date=wanted.from_date,
            to_date=wanted.to_date,
            scope=scope,
            batches=facts,
            missing=tuple(missing),
            totals=_totals(sums),
            customer_totals=len(sums) if wanted.format in _WITH_CUSTOMERS else 0,
            completeness=tuple((name, _text(value)) for name, value in sorted({**completeness, **remarks}.items())),
        )
        yield Composition(document, customers, sums, remarks)


async def pour(
    connection: Connection, composed: Composition, renderer: Renderer, on_rows: Callable[[int], None]
) -> Rendered:
    """Give the renderer its rows; ``on_rows`` is told how many more."""
    if composed.document.customer_totals:
        _pour_customers(composed, renderer)

    def feed(block: bytes) -> None:
        renderer.feed(block)
        on_rows(block.count(b"\n"))

    for batch in composed.document.batches:
        key = (batch.batch_date, batch.revision)
        renderer.begin_batch(batch)
        if batch.lines:
            copy_format = cast("Literal['text', 'csv']", renderer.copy_format)
            await reading.stream_rows(connection, key, composed.customers[key], copy_format, feed)
    return renderer.close()


def _pour_customers(composed: Composition, renderer: Renderer) -> None:
    rows = [
        "\t".join(
            (customer.translate(_ESCAPES), one.name.translate(_ESCAPES), currency, str(one.lines), f"{one.amount:f}")
        )
        for (customer, currency), one in sorted(composed.sums.items())
    ]
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        renderer.customer_totals("".join(f"{row}\n" for row in rows[start : start + _ROWS_PER_BLOCK]))


async def _sums(
    connection: Connection,
    batches: Sequence[PinnedBatch],
    customers: dict[BatchKey, list[str] | None],
    *,
    by_customer: bool,
) -> tuple[dict[tuple[str, str], _Sum], tuple[BatchFacts, ...]]:
    found: dict[tuple[str, str], _Sum] = {}
    facts: list[BatchFacts] = []
    for batch in batches:
        key = (batch.batch_date, batch.revision)
        lines_of_batch = 0
        for customer, name, currency, lines, amount in await reading.sums(
            connection, key, customers[key], by_customer=by_customer
        ):
            lines_of_batch += lines
            one = found.get((customer, currency))
            if one is None:
                found[customer, currency] = _Sum(name, lines, amount)
            else:
                # The latest date's name: that is what the customer is called now.
                one.name, one.lines, one.amount = name, one.lines + lines, EXACT.add(one.amount, amount)
        facts.append(BatchFacts(batch.batch_date, batch.revision, batch.sha256, lines_of_batch))
    return found, tuple(facts)


def _totals(sums: dict[tuple[str, str], _Sum]) -> tuple[Total, ...]:
    lines: dict[str, int] = {}
    amounts: dict[str, Decimal] = {}
    for (_, currency), one in sums.items():
        lines[currency] = lines.get(currency, 0) + one.lines
        amounts[currency] = EXACT.add(amounts.get(currency, Decimal(0)), one.amount)
    return tuple(Total(currency, lines[currency], amounts[currency]) for currency in sorted(lines))


def _text(value: str | int | list[str]) -> str:
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)
