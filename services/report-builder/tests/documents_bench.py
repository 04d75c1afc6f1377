"""Documents of made-up lines, and every format read back by another library than wrote it."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import reduce
from typing import Any

import openpyxl
import xlrd
from hypothesis import strategies as st
from lxml import etree
from report_builder.documents.formats import renderer
from report_builder.documents.model import (
    EXACT,
    BatchFacts,
    Document,
    Rendered,
    Scope,
    Total,
)
from report_builder.documents.xml_document import namespace, schema
from report_builder.reports.kinds.customer_detail import LINES, SCRIPT_LINES, TOTALS

NAMESPACE = namespace("customer-detail")

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
Row = tuple[str | None, ...]
Days = dict[date, list[Row]]


def line(customer: str = "c-1", object_id: str = "o-1", **changed: str | None) -> Row:
    values = {
        "customer_id": customer, "customer_name": f"Name of {customer}", "service": "HE", "plan_type": "user_plan",
        "unit": "he-user", "object_id": object_id, "description": "Jörg Ünsal", "name": "Gold", "stock_code": "HE-G",
        "unit_code": "HE-MB", "quantity": "1024.5", "sales_price": "0.0015", "total": "1.54", "currency": "EUR",
        "kind": "line", "flags": "", "corrects": None,
    }  # fmt: skip
    return tuple({**values, **changed}.values())


def as_text(rows: list[Row]) -> bytes:
    escapes = str.maketrans(
        {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    )
    return "".join("\t".join((value or "").translate(escapes) for value in row) + "\n" for row in rows).encode()


def as_csv(rows: list[Row]) -> bytes:
    def field(value: str | None) -> str:
        if value and any(mark in value for mark in ',"\r\n'):
            return '"' + value.replace('"', '""') + '"'
        return value or ""

    return "".join(",".join(map(field, row)) + "\n" for row in rows).encode()


def facts(days: Days, scope: Scope | None = None, missing: tuple[date, ...] = (), language: str = "en") -> Document:
    sums: dict[str, list[Decimal]] = defaultdict(list)
    for rows in days.values():
        for row in rows:
            sums[str(row[13])].append(Decimal(str(row[12])))
    return Document(
        kind="customer-detail",
        language=language,
        from_date=min(days, default=SATURDAY),
        to_date=max(days, default=SATURDAY),
        scope=scope,
        batches=tuple(BatchFacts(day, 1, "ab" * 32, len(rows)) for day, rows in days.items()),
        missing=missing,
        table=LINES,
        rows=sum(map(len, days.values())),
        totals=tuple(Total(code, len(found), (reduce(EXACT.add, found),)) for code, found in sorted(sums.items())),
        totals_table=TOTALS,
        totals_rows=len(customer_totals(days)),
        completeness=(("sources missing", "none"),),
    )


def customer_totals(days: Days) -> list[Row]:
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for rows in days.values():
        for row in rows:
            sums[str(row[0]), str(row[13])].append(Decimal(str(row[12])))
    return [
        (customer, f"Name of {customer}", service, unit, currency, str(len(found)), f"{reduce(EXACT.add, found):f}")
        for (customer, currency), found in sorted(sums.items())
        for service, unit in (("", ""), ("HE", ""), ("HE", "he-user"))
    ]


def render(name: str, days: Days, document: Document | None = None, make: Any = None) -> tuple[bytes, Rendered]:
    file = io.BytesIO()
    document = document or facts(days)
    if name == "csv":
        document = replace(document, table=SCRIPT_LINES)
    writer = make(file, document) if make else renderer(name, file, document)
    if writer.with_totals and document.totals_table:
        writer.begin(document.totals_table)
        if found := customer_totals(days):
            writer.feed(as_text(found))
    for batch, rows in zip(document.batches, days.values(), strict=True):
        writer.begin(document.table, batch.batch_date)
        for start in range(0, len(rows), 3):
            block = rows[start : start + 3]
            writer.feed(as_csv([row[:-1] for row in block]) if writer.copy_format == "csv" else as_text(block))
    rendered = writer.close()
    return file.getvalue(), rendered


def rows_of_csv(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode(), newline="")))


def rows_of_xlsx(raw: bytes, prefix: str = "Lines") -> list[tuple[Any, ...]]:
    book = openpyxl.load_workbook(io.BytesIO(raw))
    return [
        row
        for sheet in book.worksheets
        if sheet.title.startswith(prefix)
        for row in sheet.iter_rows(2, values_only=True)
    ]


def rows_of_xls(raw: bytes, prefix: str = "Lines") -> list[list[Any]]:
    book = xlrd.open_workbook(file_contents=raw)
    return [
        sheet.row_values(index)
        for sheet in book.sheets()
        if sheet.name.startswith(prefix)
        for index in range(1, sheet.nrows)
    ]


def tree_of(raw: bytes) -> etree._Element:
    tree = etree.fromstring(raw, etree.XMLParser(resolve_entities=False, no_network=True))
    schema("customer-detail").assertValid(tree)
    return tree


def lines_of_xml(raw: bytes) -> list[dict[str, str]]:
    return [
        {"customer_id": str(customer.get("id")), "customer_name": str(customer.get("name")), **dict(element.attrib)}
        for customer in tree_of(raw).iter(f"{{{NAMESPACE}}}customer")
        for element in customer.iter(f"{{{NAMESPACE}}}line")
    ]


ATTRIBUTES = f'xmlns="{NAMESPACE}" version="1.0" from="2026-11-21" to="2026-11-21" lines="0"'
TWO_DAYS: Days = {
    FRIDAY: [line(), line("c-2", total="3.00")],
    SATURDAY: [
        line(),
        line("c-1", "o-2", quantity="0", sales_price=None, total="0.00", flags="no_data no_price"),
        line("c-2", currency="JPY", total="12"),
    ],
}


anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
tricky = st.sampled_from(
    ["=1+1", "-2+3", "@SUM(A1)", "\r", "\n", '"', "a,b", "\\N", "\\.", "]]>", "&amp;", "<x>", " x ", "\t", "\\n", "''"]
)
texts = st.one_of(anything, tricky)
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20)


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    return [
        line(
            f"c-{number // 2}",
            description=draw(texts),
            name=draw(texts),
            stock_code=draw(texts),
            flags=draw(texts),
            quantity=f"{draw(numbers):f}",
            sales_price=draw(st.one_of(st.none(), numbers.map("{:f}".format))),
            total=f"{draw(numbers):f}",
        )
        for number in range(draw(st.integers(1, 7)))
    ]


def shown(text: str | None) -> str:
    forbidden = {*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0xFFFE, 0xFFFF}
    return "".join("\ufffd" if ord(character) in forbidden else character for character in text or "")
