"""Reports as a true BIFF8 .xls, streamed: 65,536 rows a sheet, then the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import BinaryIO, Final

from tallyport.money import plain

from report_builder.documents import biff8
from report_builder.documents.compound_file import CompoundFile
from report_builder.documents.model import Document, DocumentError, Rendered, Sums, Table
from report_builder.documents.sheets import (
    COUNTS,
    COVER_WIDTHS,
    Amount,
    Fact,
    RowShape,
    Sheet,
    cell_formats,
    cover,
    fact_pages,
    fits,
    money_index,
    pages,
    serial,
)
from report_builder.documents.text import is_odd, odd_row, unescape, visible
from report_builder.documents.words import Words

ROWS_PER_SHEET: Final = 65_535  # and the header

_NORMAL: Final = 15
_BOLD: Final = 16
_FORMATS: Final = 17
_LONGEST: Final = biff8.MAX_TEXT_UNITS // 2
_CACHED_NUMBERS: Final = 50_000


class XlsDocument:
    """Writes cell records one after the other; only the sheets' places are filled in afterwards."""

    copy_format = "text"
    with_totals = True

    def __init__(self, file: BinaryIO, document: Document, rows_per_sheet: int = ROWS_PER_SHEET) -> None:
        self._document = document
        self._words = Words(document.language)
        self._marked = _FORMATS + len(cell_formats(self._words))
        self._sums = Sums(document.table)
        self._rows = 0
        self._replaced = 0
        self._numbers: dict[str, bytes] = {}
        self._stream = CompoundFile(file, "Workbook")
        own = pages(document.table, document.rows, rows_per_sheet, self._words)
        above = document.totals_table
        totals = pages(above, document.totals_rows, rows_per_sheet, self._words) if above else []
        self._facts = fact_pages(document, rows_per_sheet, self._words)
        self._entries: list[tuple[int, str]] = []
        self._write_workbook([self._words("sheet.cover"), *(one.name for one in (*totals, *own, *self._facts[0]))])
        self._begun = 0
        self._write_cover(list(cover(document, self._words)))
        self._totals = _Pages(self, totals)
        self._own = _Pages(self, own)
        self._pages = self._totals
        self._day = b""
        self._shape = RowShape(document.table, self._words)

    def begin(self, table: Table, day: date | None = None) -> None:
        """Rows of this table follow."""
        self._shape = RowShape(table, self._words)
        self._day = b"" if day is None else biff8.binary64(str(serial(day)))
        if table is self._document.table and self._pages is self._totals:
            self._totals.close()
            self._pages = self._own

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        rows = block.split(b"\n")
        rows.pop()
        odd = is_odd(block) or max(map(len, rows)) > _LONGEST
        shape, own = self._shape, self._pages is self._own
        columns = _columns(shape)
        figures: defaultdict[bytes, list[tuple[bytes, ...]]] = defaultdict(list)
        for row in rows:
            if own:
                split = row.split(b"\t")
                figures[split[shape.currency]].append(self._sums.pick(split))
            fields = row.decode().split("\t")
            if odd and (odd_row(row) or len(row) > _LONGEST):
                fields = [self._clean(unescape(field)) for field in fields]
            self._stream.write(self._row(fields, *columns))
        if own:
            self._sums.take(figures)
            self._rows += len(rows)

    def _row(self, fields: list[str], texts: list[int], numbers: list[tuple[int, int | None]]) -> bytes:
        shape, first, label = self._shape, self._shape.first, biff8.label
        number, style = self._pages.next_row(), _NORMAL
        cells = [biff8.number(number, 0, _FORMATS, self._day)] if first else []
        if shape.remarks:
            special = fields[shape.flags] or (shape.kind >= 0 and fields[shape.kind] != "line")
            fields.append(shape.remark(fields) if special else "")
            style = self._marked if special else _NORMAL
        if shape.outline:
            depth = shape.depth(fields)
            cells.append(biff8.row(number, len(fields), depth))
            style = _NORMAL if depth else _BOLD
        cells += [label(number, column + first, style, fields[column]) for column in texts if fields[column]]
        for column, its in numbers:
            if field := fields[column]:
                its_style = money_index(fields[shape.currency]) if its is None else its
                cells.append(self._number(number, column + first, _FORMATS + its_style, field))
        for column in shape.dates:
            if field := fields[column]:
                cells.append(self._number(number, column + first, _FORMATS, str(serial(date.fromisoformat(field)))))
        return b"".join(cells)

    def close(self) -> Rendered:
        """Finish the file.

        Raises:
            DocumentError: the rows do not add up, or the file would be larger than the format allows.
        """
        self._sums.check(self._document.totals)
        if self._pages is self._totals:
            self._totals.close()
        self._own.close()
        self._write_facts()
        self._stream.close()
        return Rendered(self._rows, self._replaced)

    def begin_sheet(self, rows: int, widths: tuple[int, ...], *, frozen_rows: int, outlined: int = 0) -> None:
        """Begin the next sheet and tell the workbook where."""
        place, name = self._entries[self._begun]
        self._stream.overwrite(place, biff8.sheet_entry(name, self._stream.tell()))
        self._stream.write(
            biff8.begin_sheet(rows, widths, first=self._begun == 0, frozen_rows=frozen_rows, outlined=outlined)
        )
        self._begun += 1

    def write(self, data: bytes) -> None:
        """Add records."""
        self._stream.write(data)

    def _write_workbook(self, names: list[str]) -> None:
        self._stream.write(biff8.begin_workbook() + biff8.styles(cell_formats(self._words)))
        for name in names:
            self._entries.append((self._stream.tell(), name))
            self._stream.write(biff8.sheet_entry(name))
        self._stream.write(biff8.print_titles(len(names), range(1, len(names))))
        self._stream.write(biff8.end())

    def _write_cover(self, facts: list[Fact]) -> None:
        self.begin_sheet(len(facts), COVER_WIDTHS, frozen_rows=0)
        for row, (name, value) in enumerate(facts):
            self._stream.write(biff8.label(row, 0, _BOLD, self._clean(name)))
            if isinstance(value, date):
                cell = self._number(row, 1, _FORMATS, str(serial(value)))
            elif isinstance(value, int):
                cell = self._number(row, 1, _FORMATS + COUNTS, str(value))
            elif isinstance(value, Amount):
                cell = self._number(row, 1, _FORMATS + money_index(value.currency), plain(value.value))
            else:
                cell = biff8.label(row, 1, _NORMAL, self._clean(value)) if value else b""
            self._stream.write(cell)
        self._stream.write(biff8.end())

    def _write_facts(self) -> None:
        sheets, rows = self._facts
        pages = _Pages(self, sheets)
        for day, *texts in rows:
            number = pages.next_row()
            if day:
                self._stream.write(self._number(number, 0, _FORMATS, str(serial(day))))
            for column, text in enumerate(texts, start=1):
                self._stream.write(biff8.label(number, column, _NORMAL, self._clean(str(text))))
        pages.close()

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


def _columns(shape: RowShape) -> tuple[list[int], list[tuple[int, int | None]]]:
    """Which columns are text, and which are numbers, each with its format; None is the row's currency's."""
    kinds = [column.kind for column in shape.table.columns]
    texts = [index for index, kind in enumerate(kinds) if kind == "text"]
    if shape.remarks:
        texts.append(len(kinds))
    formats: dict[str, int | None] = {"quantity": 1, "count": COUNTS, "money": None}
    return texts, [(index, formats[kind]) for index, kind in enumerate(kinds) if kind in formats]


class _Pages:
    """Rows over as many sheets as they need."""

    def __init__(self, document: XlsDocument, sheets: Sequence[Sheet]) -> None:
        self._document = document
        self._any = bool(sheets)
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
        if not self._any:
            return
        if not self._open:
            self._next_sheet()
        self._document.write(biff8.end())

    def _next_sheet(self) -> None:
        if self._open:
            self._document.write(biff8.end())
        sheet = next(self._sheets, None)
        if sheet is None:
            raise DocumentError("there are more rows than were announced")
        self._document.begin_sheet(sheet.rows + 1, sheet.widths, frozen_rows=1, outlined=sheet.outlined)
        for column, name in enumerate(sheet.columns):
            self._document.write(biff8.label(0, column, _BOLD, name))
        self._open = True
        self._row = 0
        self._last = sheet.rows
