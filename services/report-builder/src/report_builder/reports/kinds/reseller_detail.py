"""The reseller detail: the lines below an organisation, with what it takes and pays for each."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from report_builder.documents.model import EXACT, BatchFacts, Column, DocumentError, Group, Table, Total
from report_builder.reports.kinds.source import Content, Section, Source, key_of, totals_above
from report_builder.warehouse import reading

LINES: Final = Table(
    name="lines",
    columns=(
        Column("customer_id", width=16),
        Column("customer_name", width=26),
        Column("sold_to", width=16, optional=True),
        Column("service", width=9),
        Column("plan_type", width=13),
        Column("unit", width=13),
        Column("object_id", width=20),
        Column("description", width=30),
        Column("name", width=20),
        Column("stock_code", width=12),
        Column("unit_code", width=10),
        Column("quantity", "quantity", 12),
        Column("total", "money", 12),
        Column("sales", "money", 12, optional=True),
        Column("cost", "money", 12, optional=True),
        Column("margin", "money", 12, optional=True),
        Column("currency", width=9),
        Column("kind", width=10),
        Column("flags", width=18, optional=True),
        Column("corrects", "date", 11, optional=True),
    ),
    group=Group("customer", ("id", "name")),
    by_day=True,
    adds_up=(("sales", "sales"), ("cost", "cost")),
    remarks=True,
)

TOTALS: Final = Table(
    name="totals",
    columns=(
        Column("sold_to", width=16),
        Column("customer_id", width=16),
        Column("customer_name", width=30),
        Column("service", width=12),
        Column("currency", width=9),
        Column("lines", "count", 10),
        Column("sales", "money", 16),
        Column("cost", "money", 16),
        Column("margin", "money", 16, optional=True),
        Column("unknown", "count", 12, optional=True),
    ),
    outline=("customer_id", "service"),
    adds_up=(("sales", "sales"), ("cost", "cost")),
)


async def compose(source: Source) -> Content:
    """Every line below the organisation; what it takes and pays must add up to the warehouse's sums of its level.

    Raises:
        DocumentError: the organisation sells to nobody, it is a customer.
    """
    organisation = source.wanted.organisation
    if organisation is None or source.organisation_type == "customer":
        raise DocumentError(
            f"organisation {organisation!r} is a customer and sells to nobody; ask for its customer-detail, or for the "
            "reseller-detail of a reseller or the provider"
        )
    facts: list[BatchFacts] = []
    sections: list[Section] = []
    totals: dict[str, Total] = {}
    for batch in source.batches:
        counted = 0
        if await reading.organisation_type(source.connection, key_of(batch), organisation):
            for one in await reading.level_sums(source.connection, key_of(batch), organisation, viewer=organisation):
                counted += one.lines
                known = totals.get(one.currency, Total(one.currency, 0, (Decimal(0), Decimal(0))))
                sales, cost = known.amounts
                totals[one.currency] = Total(
                    one.currency,
                    known.lines + one.lines,
                    (EXACT.add(sales, one.sales), EXACT.add(cost, one.cost)),
                    known.unknown + one.unknown,
                )
        levels = await reading.levels_below(source.connection, key_of(batch), organisation)
        sections.append(Section(LINES, "reseller_rows", (*key_of(batch), *levels), batch.batch_date))
        facts.append(BatchFacts(batch.batch_date, batch.revision, batch.sha256, counted))
    return Content(
        table=LINES,
        rows=sum(batch.lines for batch in facts),
        totals=tuple(totals[currency] for currency in sorted(totals)),
        batches=tuple(facts),
        sections=tuple(sections),
        above=await totals_above(source, TOTALS, "reseller_totals", organisation),
    )
