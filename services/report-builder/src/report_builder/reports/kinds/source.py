"""What a kind of report is composed from, and what it has to say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from report_builder.documents.model import EXACT, BatchFacts, ChartSeries, Scope, Table, Total
from report_builder.reports.model import PinnedBatch, Wanted
from report_builder.reports.store import Connection
from report_builder.warehouse import reading
from report_builder.warehouse.model import BatchKey


@dataclass(frozen=True, slots=True)
class Source:
    """The batches a report is made from, in one snapshot; ``compared`` are those of the period before."""

    connection: Connection
    wanted: Wanted
    batches: tuple[PinnedBatch, ...]
    compared: tuple[PinnedBatch, ...]
    missing: tuple[date, ...]
    compared_missing: tuple[date, ...]
    scope: Scope | None
    organisation_type: str | None

    @property
    def arrays(self) -> tuple[list[date], list[int]]:
        """The dates and revisions of this period's batches, as statements over several batches take them."""
        return [one.batch_date for one in self.batches], [one.revision for one in self.batches]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one table that one statement gives."""

    table: Table
    statement: reading.RowsOf
    values: tuple[Any, ...]
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Above:
    """The rows of the table of totals, which only sheets have."""

    table: Table
    spool: reading.Spool


@dataclass(frozen=True, slots=True)
class Content:
    """What a kind makes of its source."""

    table: Table
    rows: int
    totals: tuple[Total, ...]
    batches: tuple[BatchFacts, ...]
    sections: tuple[Section, ...]
    above: Above | None = None
    compared: tuple[BatchFacts, ...] = ()
    charts: tuple[ChartSeries, ...] = ()


Compose = Callable[[Source], Awaitable[Content]]


def key_of(batch: PinnedBatch) -> BatchKey:
    """How the warehouse calls a batch."""
    return batch.batch_date, batch.revision


async def scoped_customers(source: Source, batch: PinnedBatch) -> list[str] | None:
    """Whose lines are taken from a batch; None is everybody's."""
    if source.wanted.organisation is None:
        return None
    return await reading.organisations_below(source.connection, key_of(batch), source.wanted.organisation)


async def totals_above(
    source: Source, table: Table, statement: reading.RowsOf, organisation: str | None
) -> Above | None:
    """The table of totals of this period's batches; None for a format that does not show it."""
    if source.wanted.format not in ("xls", "xlsx"):
        return None
    spool = reading.Spool()
    dates, revisions = source.arrays
    await reading.stream_rows(
        source.connection, statement, dates, revisions, organisation, copy_format="text", feed=spool.keep
    )
    return Above(table, spool)


async def line_sums(
    source: Source, batches: Sequence[PinnedBatch]
) -> tuple[tuple[BatchFacts, ...], dict[str, tuple[int, Decimal]]]:
    """The facts of some batches, and the lines and the sum of each currency, counted from the lines of the scope."""
    facts: list[BatchFacts] = []
    sums: dict[str, tuple[int, Decimal]] = {}
    for batch in batches:
        counted = 0
        customers = await scoped_customers(source, batch)
        for currency, lines, amount in await reading.sums(source.connection, key_of(batch), customers):
            counted += lines
            known, so_far = sums.get(currency, (0, Decimal(0)))
            sums[currency] = known + lines, EXACT.add(so_far, amount)
        facts.append(BatchFacts(batch.batch_date, batch.revision, batch.sha256, counted))
    return tuple(facts), sums
