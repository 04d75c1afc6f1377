"""What .xlsx and .xls have in common: the cover, the sheets there are, and which numbers a cell can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from tallyport.money import minor_digits, plain

from report_builder.documents.model import COLUMNS, Document

MAX_DIGITS: Final = 15
"""A cell's number is a binary64: that many decimal digits always survive."""

TOTAL_COLUMNS: Final = ("customer_id", "customer_name", "currency", "lines", "total")
LINE_WIDTHS: Final = (11, 16, 26, 9, 13, 13, 20, 30, 20, 12, 10, 12, 11, 12, 9, 10, 18)
TOTAL_WIDTHS: Final = (16, 30, 9, 10, 16)

_EPOCH: Final = date(1899, 12, 30)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet of rows: its name, its column names and widths, and how many rows stand below the header."""

    name: str
    columns: tuple[str, ...]
    widths: tuple[int, ...]
    rows: int


def paged(name: str, columns: tuple[str, ...], widths: tuple[int, ...], rows: int, rows_per_sheet: int) -> list[Sheet]:
    """As many sheets as the rows need: ``Lines``, ``Lines 2``, ``Lines 3`` and so on."""
    pages = max(1, math.ceil(rows / rows_per_sheet))
    return [
        Sheet(
            name if page == 0 else f"{name} {page + 1}",
            columns,
            widths,
            min(rows_per_sheet, rows - page * rows_per_sheet),
        )
        for page in range(pages)
    ]


def sheets(document: Document, rows_per_sheet: int) -> tuple[list[Sheet], list[Sheet]]:
    """The sheets of totals and the sheets of lines; below the customers' totals stand those of the document."""
    totals = document.customer_totals + len(document.totals)
    return (
        paged("Totals", TOTAL_COLUMNS, TOTAL_WIDTHS, totals, rows_per_sheet),
        paged("Lines", COLUMNS, LINE_WIDTHS, document.lines, rows_per_sheet),
    )


def cover(document: Document) -> Iterator[tuple[str, str | date]]:
    """The cover's rows: what it is about, and what it was made from."""
    yield "Customer detail", ""
    yield "From", document.from_date
    yield "To", document.to_date
    scope = (
        f"{document.scope.name} ({document.scope.organisation}) and all below" if document.scope else "All customers"
    )
    yield "Scope", scope
    yield "Lines", str(document.lines)
    for total in document.totals:
        yield f"Total {total.currency}", plain(total.amount)
    yield "Made from", ""
    for batch in document.batches:
        yield f"Batch {batch.batch_date}", f"revision {batch.revision}, {batch.lines} lines, SHA-256 {batch.sha256}"
    yield "Completeness", "complete" if not document.missing else f"{len(document.missing)} dates are missing"
    for day in document.missing:
        yield "Missing", day
    yield from document.completeness


def serial(day: date) -> int:
    """A date as both formats count it, in days."""
    return (day - _EPOCH).days


def fits(number: str) -> bool:
    """Whether a cell holds the number exactly: at most 15 digits, not counting zeros that say nothing."""
    if len(number) <= MAX_DIGITS:
        return True
    whole, _, fraction = number.lstrip("-").partition(".")
    digits = (whole + fraction).strip("0")
    return len(digits) <= MAX_DIGITS


def money_format(currency: str) -> str:
    """How amounts of a currency look."""
    digits = minor_digits(currency)
    return "#,##0" if digits == 0 else f"#,##0.{'0' * digits}"
