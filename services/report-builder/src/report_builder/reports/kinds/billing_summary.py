"""The billing summary: what each customer's stock codes came to, in this period and in the one before."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from report_builder.documents.model import ChartSeries, Column, Group, Table, Total
from report_builder.reports.kinds.source import Content, Section, Source, line_sums
from report_builder.warehouse import reading

SUMMARY: Final = Table(
    name="summary",
    columns=(
        Column("customer_id", width=16),
        Column("customer_name", width=30),
        Column("stock_code", width=16),
        Column("currency", width=9),
        Column("this_period", "money", 16),
        Column("last_period", "money", 16, optional=True),
        Column("difference", "money", 16, optional=True),
        Column("records", "count", 10),
        Column("last_records", "count", 12, optional=True),
        Column("flags", width=24, optional=True),
    ),
    element="item",
    group=Group("customer", ("id", "name")),
    adds_up=(("this_period", "amount"),),
    counted="records",
    remarks=True,
)
_COMPARED: Final = replace(SUMMARY, adds_up=(*SUMMARY.adds_up, ("last_period", "last_amount")))


async def compose(source: Source) -> Content:
    """A row per customer, stock code and currency. A period of which a date is missing is not compared with."""
    facts, sums = await line_sums(source, source.batches)
    compared, sums_before = await line_sums(source, source.compared)
    known = not source.compared_missing
    table = _COMPARED if known else SUMMARY
    if not known:
        sums_before = {}
    nothing = (0, Decimal(0))
    totals = []
    for currency in sorted({*sums, *sums_before}):
        lines, amount = sums.get(currency, nothing)
        before = (sums_before.get(currency, nothing)[1],) if known else ()
        totals.append(Total(currency, lines, (amount, *before)))
    pinned = (*source.compared, *source.batches)
    values: tuple[Any, ...] = (
        [one.batch_date for one in pinned],
        [one.revision for one in pinned],
        source.wanted.organisation,
        source.wanted.from_date,
        known,
    )
    section = Section(table, "summary_rows", (*values, not source.missing))
    return Content(
        table=table,
        rows=await reading.count_rows(source.connection, section.statement, *section.values),
        totals=tuple(totals),
        batches=facts,
        compared=compared,
        sections=(section,),
        charts=await _charts(source, values) if source.wanted.format == "xlsx" else (),
    )


async def _charts(source: Source, values: tuple[Any, ...]) -> tuple[ChartSeries, ...]:
    found: dict[str, list[tuple[str, Decimal, Decimal | None]]] = {}
    for currency, service, this, last in await reading.service_sums(source.connection, *values):
        found.setdefault(currency, []).append((service, this, last))
    return tuple(
        ChartSeries(
            currency,
            tuple(service for service, _, _ in rows),
            tuple(this for _, this, _ in rows),
            tuple(last for _, _, last in rows),
        )
        for currency, rows in found.items()
    )
