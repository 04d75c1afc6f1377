"""Documents of made-up rows of every kind of report."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date
from typing import Any

from documents_bench import Row, as_csv, as_text
from kinds_bench import Made
from report_builder.documents.formats import renderer
from report_builder.documents.model import BatchFacts, Document, Rendered, Scope, Sums
from report_builder.reports.kinds import billing_summary, customer_detail, reseller_detail

DAY = date(2026, 11, 21)
TABLES = {
    "billing-summary": (billing_summary.SUMMARY, None),
    "customer-detail": (customer_detail.LINES, customer_detail.TOTALS),
    "reseller-detail": (reseller_detail.LINES, reseller_detail.TOTALS),
}


def document_of(kind: str, own: list[Row], above: list[Row], language: str = "en", **changed: Any) -> Document:
    table, totals_table = TABLES[kind]
    sums = Sums(table)
    for row in own:
        fields = [(cell or "").encode() for cell in row]
        sums.take({fields[sums.currency]: [sums.pick(fields)]})
    facts = BatchFacts(DAY, 1, "ab" * 32, len(own))
    document = Document(
        kind=kind, language=language, from_date=DAY, to_date=DAY, scope=Scope("o-1", "Müller & <Söhne>\x01"),
        batches=(facts,), missing=(), table=table, rows=len(own), totals=sums.totals(), totals_table=totals_table,
        totals_rows=len(above), completeness=(("2026-11-21.sources_missing", "none"), ("news", "=1+1")),
    )  # fmt: skip
    return replace(document, **changed)


def made_of(name: str, document: Document, own: list[Row], above: list[Row]) -> tuple[Made, Rendered]:
    file = io.BytesIO()
    writer = renderer(name, file, document)
    text = as_csv if writer.copy_format == "csv" else as_text
    if document.totals_table and writer.with_totals:
        writer.begin(document.totals_table)
        if above:
            writer.feed(text(above))
    writer.begin(document.table, DAY if document.table.by_day else None)
    if own:
        writer.feed(text(own))
    rendered = writer.close()
    return Made(name, file.getvalue(), document, {}, rendered.replaced), rendered
