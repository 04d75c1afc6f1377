"""The customer detail as a true BIFF8 .xls, streamed: 65,536 rows a sheet, then the next."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import BinaryIO, Final

from tallyport.money import MINOR_DIGITS, plain

from report_builder.documents import biff8
from report_builder.documents.compound_file import CompoundFile
from report_builder.documents.model import BatchFacts, Document, DocumentError, Rendered, Sums
from report_builder.documents.sheets import Sheet, cover, fits, money_format, serial, sheets
from report_builder.documents.text import is_odd, odd_row, unescape, visible

ROWS_PER_SHEET: Final = 65_535  # and the header

_NORMAL: Final = 15
_BOLD: Final = 16
_DATE: Final = 17
_QUANTITY: Final = 18
_MONEY: Final = 19
_DIGITS: Final = tuple(sorted({2, *MINOR_DIGITS.values()}))
_EXAMPLES: Final = {digits: code for code, digits in (*MINOR_DIGITS.items(), ("EUR", 2))}
_FORMATS: Final = ("yyyy-mm-dd", "0.##########", *(money_format(_EXAMPLES[digits]) for digits in _DIGITS))
_MONEY_STYLES: Final = {code: _MONEY + _DIGITS.index(digits) for code, digits in MINOR_DIGITS.items()}
_TWO_DIGITS: Final = _MONEY + _DIGITS.index(2)
_LONGEST: Final = biff8.MAX_TEXT_UNITS // 2
_CACHED_NUMBERS: Final = 50_000


class XlsDocument:
    """Writes cell records one after the other; only the sheets' places are filled in afterwards."""

    copy_format = "text"

    def __init__(self, file: BinaryIO, document: Document, rows_per_sheet: int = ROWS_PER_SHEET) -> None:
        self._document = document
        self._sums = Sums()
        self._rows = 0
        self._replaced = 0
        self._numbers: dict[str, bytes] = {}
        self._stream = CompoundFile(file, "Workbook")
        totals, lines = sheets(document, rows_per_sheet)
        facts = list(cover(document))
        self._entries: list[tuple[int, str]] = []
        self._write_workbook(["Cover", *(sheet.name for sheet in (*totals, *lines))])
        self._begun = 0
        self._write_cover(facts)
        self._totals = _Pages(self, totals)
        self._lines = _Pages(self, lines)
        self._totals_open = True
        self._date = b""

    def customer_totals(self, block: str) -> None:
        """Rows of the sheet of totals."""
        rows = block.split("\n")
        rows.pop()
        for row in rows:
            customer, name, currency, lines, total = map(unescape, row.split("\t"))
            self._total_row(customer, name, currency, lines, total)

    def begin_batch(self, batch: BatchFacts) -> None:
        """The rows that follow are of this date."""
        self._finish_totals()
        self._date = biff8.binary64(str(serial(batch.batch_date)))

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        rows = block.split(b"\n")
        rows.pop()
        odd = is_odd(block) or max(map(len, rows)) > _LONGEST
        totals: defaultdict[bytes, list[bytes]] = defaultdict(list)
        label = biff8.label
        for row in rows:
            fields = row.decode().split("\t")
            if odd and (odd_row(row) or len(row) > _LONGEST):
                fields = [self._clean(unescape(field)) for field in fields]
            number = self._lines.next_row()
            quantity, price, total, currency = fields[10:14]
            totals[currency.encode()].append(total.encode())
            cells = [biff8.number(number, 0, _DATE, self._date)]
            cells += [
                label(number, column, _NORMAL, field) for column, field in enumerate(fields[:10], start=1) if field
            ]
            cells.append(self._number(number, 11, _QUANTITY, quantity))
            if price:
                cells.append(self._number(number, 12, _QUANTITY, price))
            cells.append(self._number(number, 13, _MONEY_STYLES.get(currency, _TWO_DIGITS), total))
            cells += [
                label(number, column, _NORMAL, field) for column, field in enumerate(fields[13:], start=14) if field
            ]
            self._stream.write(b"".join(cells))
        self._sums.take(totals)
        self._rows += len(rows)

    def close(self) -> Rendered:
        """Finish the file.

        Raises:
            DocumentError: the rows do not add up, or the file would be larger than the format allows.
        """
        self._sums.check(self._document.totals)
        self._finish_totals()
        self._lines.close()
        self._stream.close()
        return Rendered(self._rows, self._replaced)

    def begin_sheet(self, rows: int, widths: tuple[int, ...], *, frozen_rows: int) -> None:
        """Begin the next sheet and tell the workbook where."""
        place, name = self._entries[self._begun]
        self._stream.overwrite(place, biff8.sheet_entry(name, self._stream.tell()))
        self._stream.write(biff8.begin_sheet(rows, widths, first=self._begun == 0, frozen_rows=frozen_rows))
        self._begun += 1

    def write(self, data: bytes) -> None:
        """Add records."""
        self._stream.write(data)

    def _write_workbook(self, names: list[str]) -> None:
        self._stream.write(biff8.begin_workbook() + biff8.styles(_FORMATS))
        for name in names:
            self._entries.append((self._stream.tell(), name))
            self._stream.write(biff8.sheet_entry(name))
        self._stream.write(biff8.end())

    def _write_cover(self, facts: list[tuple[str, str | date]]) -> None:
        self.begin_sheet(len(facts), (24, 100), frozen_rows=0)
        for row, (name, value) in enumerate(facts):
            self._stream.write(biff8.label(row, 0, _BOLD, self._clean(name)))
            if isinstance(value, str):
                self._stream.write(biff8.label(row, 1, _NORMAL, self._clean(value)))
            else:
                self._stream.write(biff8.number(row, 1, _DATE, biff8.binary64(str(serial(value)))))
        self._stream.write(biff8.end())

    def _finish_totals(self) -> None:
        """The document's totals below the customers'."""
        if self._totals_open:
            self._totals_open = False
            for total in self._document.totals:
                self._total_row("All customers", "", total.currency, str(total.lines), plain(total.amount))
            self._totals.close()

    def _total_row(self, customer: str, name: str, currency: str, lines: str, total: str) -> None:
        row = self._totals.next_row()
        cells = [
            biff8.label(row, column, _NORMAL, self._clean(text))
            for column, text in enumerate((customer, name, currency))
            if text
        ]
        cells.append(self._number(row, 3, _NORMAL, lines))
        cells.append(self._number(row, 4, _MONEY_STYLES.get(currency, _TWO_DIGITS), total))
        self._stream.write(b"".join(cells))

    def _number(self, row: int, column: int, style: int, text: str) -> bytes:
        # A number with more digits than a cell keeps is written as text: exact rather than summable.
        value = self._numbers.get(text)
        if value is None:
            if not fits(text):
                return biff8.label(row, column, style, text)
            if len(self._numbers) >= _CACHED_NUMBERS:
                self._numbers.clear()
            value = self._numbers[text] = biff8.binary64(text)
        return biff8.number(row, column, style, value)

    def _clean(self, text: str) -> str:
        text, replaced = visible(text)
        too_long = max(0, len(text) - _LONGEST)
        self._replaced += replaced + too_long
        return text[:_LONGEST]


class _Pages:
    """Rows over as many sheets as they need."""

    def __init__(self, document: XlsDocument, sheets: list[Sheet]) -> None:
        self._document = document
        self._sheets = iter(sheets)
        self._row = 0
        self._last = 0
        self._open = False

    def next_row(self) -> int:
        """The number of the next row, counted from 0 with the header; begins the next sheet when this one is full."""
        if self._row == self._last:
            self._next_sheet()
        self._row += 1
        return self._row

    def close(self) -> None:
        """Finish the sheet that is open; sheets that got no row are written with their header."""
        if not self._open:
            self._next_sheet()
        self._document.write(biff8.end())

    def _next_sheet(self) -> None:
        if self._open:
            self._document.write(biff8.end())
        sheet = next(self._sheets, None)
        if sheet is None:
            raise DocumentError("there are more rows than were announced")
        self._document.begin_sheet(sheet.rows + 1, sheet.widths, frozen_rows=1)
        for column, name in enumerate(sheet.columns):
            self._document.write(biff8.label(0, column, _BOLD, name))
        self._open = True
        self._row = 0
        self._last = sheet.rows
