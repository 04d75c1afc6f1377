"""The customer detail: the lines, and their totals per customer, service and unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from report_builder.documents.model import Column, Group, Table, Total
from report_builder.reports.kinds.source import (
    Content,
    Section,
    Source,
    key_of,
    line_sums,
    scoped_customers,
    totals_above,
)

LINES: Final = Table(
    name="lines",
    columns=(
        Column("customer_id", width=16),
        Column("customer_name", width=26),
        Column("service", width=9),
        Column("plan_type", width=13),
        Column("unit", width=13),
        Column("object_id", width=20),
        Column("description", width=30),
        Column("name", width=20),
        Column("stock_code", width=12),
        Column("unit_code", width=10),
        Column("quantity", "quantity", 12),
        Column("sales_price", "quantity", 11, optional=True),
        Column("total", "money", 12),
        Column("currency", width=9),
        Column("kind", width=10),
        Column("flags", width=18, optional=True),
        Column("corrects", "date", 11, optional=True),
    ),
    group=Group("customer", ("id", "name")),
    by_day=True,
    adds_up=(("total", "amount"),),
    remarks=True,
)

SCRIPT_LINES: Final = replace(LINES, columns=LINES.columns[:-1])
"""As .csv has them. Scripts read it by these names: they never change."""

TOTALS: Final = Table(
    name="totals",
    columns=(
        Column("customer_id", width=16),
        Column("customer_name", width=30),
        Column("service", width=12),
        Column("unit", width=16),
        Column("currency", width=9),
        Column("lines", "count", 10),
        Column("total", "money", 16),
    ),
    outline=("service", "unit"),
    adds_up=(("total", "amount"),),
)
"""On a sheet of its own rather than between the lines: those stay a list that can be filtered and sorted, and rows that
are all alike, which is what makes writing them fast."""


async def compose(source: Source) -> Content:
    """Every line of the scope, batch after batch."""
    facts, sums = await line_sums(source, source.batches)
    is_csv = source.wanted.format == "csv"
    table = SCRIPT_LINES if is_csv else LINES
    sections = [
        Section(
            table,
            "report_rows" if is_csv else "detail_rows",
            (*key_of(batch), await scoped_customers(source, batch)),
            batch.batch_date,
        )
        for batch in source.batches
    ]
    return Content(
        table=table,
        rows=sum(batch.lines for batch in facts),
        totals=tuple(Total(code, lines, (amount,)) for code, (lines, amount) in sorted(sums.items())),
        batches=facts,
        sections=tuple(sections),
        above=await totals_above(source, TOTALS, "detail_totals", source.wanted.organisation),
    )
