"""What .xlsx and .xls have in common: which sheets there are, the cover, and how a row becomes cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import itemgetter
from typing import Final

from tallyport.money import MINOR_DIGITS

from report_builder.documents.model import CURRENCY, NONE, BatchFacts, Document, Table, Total, facts_by_day
from report_builder.documents.words import Words

MAX_DIGITS: Final = 15
"""A cell's number is a binary64: that many decimal digits always survive."""

DAY_WIDTH: Final = 11
REMARK_WIDTH: Final = 34
COVER_WIDTHS: Final = (26, 100)
FACT_WIDTHS: Final = (12, 36, 90)
# As many decimals as there are, and no point without any. Not simply the default: it is to be a style of its own.
QUANTITY_FORMAT: Final = "General;-General"
CURRENCY_DIGITS: Final = tuple(sorted({0, 2, *MINOR_DIGITS.values()}))
COUNTS: Final = 2 + CURRENCY_DIGITS.index(0)
"""Which of ``cell_formats`` counts have: that of a currency without decimals."""
_EXAMPLES: Final = {digits: code for code, digits in (*MINOR_DIGITS.items(), ("EUR", 2))}

_EPOCH: Final = date(1899, 12, 30)


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount for a cell of its own."""

    value: Decimal
    currency: str


Fact = tuple[str, "str | date | Amount | int"]
"""A row of the cover."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet of rows: its name, its headings and widths, and how many rows stand below the header."""

    name: str
    columns: tuple[str, ...]
    widths: tuple[int, ...]
    rows: int
    outlined: int = 0


def cell_formats(words: Words) -> tuple[str, ...]:
    """The number formats, all different: dates, quantities, then one for each number of decimals of currencies."""
    money = (words.money_format(_EXAMPLES[digits]) for digits in CURRENCY_DIGITS)
    return (words.date_format, QUANTITY_FORMAT, *money)


def money_index(currency: str) -> int:
    """Which of ``cell_formats`` is a currency's."""
    return 2 + CURRENCY_DIGITS.index(MINOR_DIGITS.get(currency, 2))


def pages(table: Table, rows: int, rows_per_sheet: int, words: Words) -> list[Sheet]:
    """As many sheets as a table's rows need: ``Lines``, ``Lines 2``, ``Lines 3`` and so on."""
    name = words(f"sheet.{table.name}")
    columns = (*table.header, "remark") if table.remarks else table.header
    headings = tuple(words(f"column.{column}") for column in columns)
    widths = (*([DAY_WIDTH] if table.by_day else []), *(column.width for column in table.columns))
    if table.remarks:
        widths = (*widths, REMARK_WIDTH)
    return [
        Sheet(
            name if page == 0 else f"{name} {page + 1}",
            headings,
            widths,
            min(rows_per_sheet, rows - page * rows_per_sheet),
            len(table.outline),
        )
        for page in range(max(1, math.ceil(rows / rows_per_sheet)))
    ]


FactRow = tuple[date | None, str, str]
"""A row of the completeness statement: the batch it is about, if it is about one, fact and value."""


def fact_pages(document: Document, rows_per_sheet: int, words: Words) -> tuple[list[Sheet], list[FactRow]]:
    """The sheets of the completeness statement, and their rows."""
    rows: list[FactRow] = [
        (
            date.fromisoformat(day) if day else None,
            words.known(f"fact.{fact}", fact),
            words("value.none") if value == NONE else value,
        )
        for day, fact, value in facts_by_day(document)
    ]
    name = words("sheet.completeness")
    headings = tuple(words(f"column.{column}") for column in ("batch_date", "fact", "value"))
    count = max(1, math.ceil(len(rows) / rows_per_sheet))
    sheets = [
        Sheet(name if page == 0 else f"{name} {page + 1}", headings, FACT_WIDTHS,
              min(rows_per_sheet, len(rows) - page * rows_per_sheet))
        for page in range(count)
    ]  # fmt: skip
    return sheets, rows


def cover(document: Document, words: Words) -> Iterator[Fact]:
    """The cover's rows: what it is about, and what it was made from."""
    yield words(f"kind.{document.kind}"), ""
    yield words("cover.from"), document.from_date
    yield words("cover.to"), document.to_date
    scope = document.scope
    below = words("cover.below", name=scope.name, id=scope.organisation) if scope else words("cover.everybody")
    yield words("cover.scope"), below
    yield words("cover.lines"), document.lines
    for total in document.totals:
        yield from _total(document, total, words)
    yield words("cover.made_from"), ""
    yield from (_batch(batch, words) for batch in document.batches)
    if document.compared or document.compared_missing:
        yield words("cover.compared"), ""
        yield from (_batch(batch, words) for batch in document.compared)
        for day in document.compared_missing:
            yield words("cover.batch", date=words.day(day)), words("cover.no_data")
    missing = words("cover.incomplete", count=words.number(len(document.missing)))
    yield words("cover.completeness"), missing if document.missing else words("cover.complete")
    for day in document.missing:
        yield words("cover.missing"), day


def _total(document: Document, total: Total, words: Words) -> Iterator[Fact]:
    for (column, _), amount in zip(document.table.adds_up, total.amounts, strict=True):
        yield f"{words(f'column.{column}')} {total.currency}", Amount(amount, total.currency)
    if total.unknown:
        yield f"{words('cover.unknown')} {total.currency}", total.unknown


def _batch(batch: BatchFacts, words: Words) -> Fact:
    lines = words.number(batch.lines)
    value = words("cover.batch_value", revision=str(batch.revision), lines=lines, sha256=batch.sha256)
    return words("cover.batch", date=words.day(batch.batch_date)), value


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


class RowShape:
    """A table's rows as cells: which fields are numbers or dates, how deep a row is, and what is remarked on it."""

    def __init__(self, table: Table, words: Words) -> None:
        self.table = table
        self._words = words
        self.first = 1 if table.by_day else 0
        self.currency = table.index(CURRENCY)
        self.dates = table.of_kind("date")
        numbers = table.of_kind("count", "quantity", "money")
        # Two at least, because one alone would be given as itself and not in a tuple.
        self.numbers: Callable[[Sequence[bytes]], tuple[bytes, ...]] = itemgetter(*numbers, numbers[0])
        self.outline = tuple(table.index(name) for name in table.outline)
        self.remarks = table.remarks
        names = table.names
        self.kind = names.index("kind") if "kind" in names else -1
        self.flags = names.index("flags") if "flags" in names else -1
        self.corrects = names.index("corrects") if "corrects" in names else -1

    def number_format(self, index: int, currency: str) -> int | None:
        """Which of ``cell_formats`` a column's cells have; None is text."""
        kind = self.table.columns[index].kind if index < len(self.table.columns) else "text"
        return {"text": None, "date": 0, "quantity": 1, "count": COUNTS, "money": money_index(currency)}[kind]

    def remark(self, fields: Sequence[str]) -> str:
        """What is special about a row."""
        kind = fields[self.kind] if self.kind >= 0 else "line"
        corrects = fields[self.corrects] if self.corrects >= 0 else ""
        return self._words.remark(kind, fields[self.flags], date.fromisoformat(corrects) if corrects else None)

    def depth(self, fields: Sequence[bytes | str]) -> int:
        """How deep a row of totals is below its first one."""
        return sum(1 for index in self.outline if fields[index])
