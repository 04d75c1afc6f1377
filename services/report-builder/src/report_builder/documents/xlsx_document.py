"""The customer detail as .xlsx: XlsxWriter makes the workbook, its sheets of rows are filled from templates."""

from __future__ import annotations

import io
import re
import zipfile
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import BinaryIO, Final

import xlsxwriter
from tallyport.money import MINOR_DIGITS, plain

from report_builder.documents.model import BatchFacts, Document, DocumentError, Rendered, Sums
from report_builder.documents.sheets import Sheet, cover, fits, money_format, serial, sheets
from report_builder.documents.text import holds, unescape, visible
from report_builder.documents.zip_parts import PartWriter, ZipParts

ROWS_PER_SHEET: Final = 1_048_575  # and the header
MAX_CELL_CHARACTERS: Final = 32_767
_LARGE_ROWS: Final = 20_000  # more rows than this may, with the longest texts, pass 2 GiB in one sheet

_CARE: Final = (b"&", b"<", b">", b"_x", b" \t", b"\t ", b" \n", b"\n ", b"\t\t")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
# Excel reads _x0041_ as the character 0x41; so the underscore of text that looks like it is written that way itself.
_LOOKS_ESCAPED: Final = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_TEXT: Final = '<c t="inlineStr"><is><t>%s</t></is></c>'
_TEXTS: Final = 10
_HEAD: Final = _TEXT * _TEXTS
_SHEET_DATA_END: Final = "</sheetData>"
_DIMENSION: Final = re.compile(r'<dimension ref="[^"]*"/>')
# XlsxWriter numbers styles in the order of their first use; the cover uses them in this order.
_DATE_STYLE: Final = 2
_QUANTITY_STYLE: Final = 3
_MONEY_STYLES: Final = 4
_NO_TIME: Final = datetime(1980, 1, 1, tzinfo=UTC)


class XlsxDocument:
    """Pours rows into the sheets of a ready workbook.

    Strings are inline strings, so nothing is ever a formula and no table of strings grows in memory.
    """

    copy_format = "text"

    def __init__(self, file: BinaryIO, document: Document, rows_per_sheet: int = ROWS_PER_SHEET) -> None:
        self._document = document
        self._sums = Sums()
        self._rows = 0
        self._replaced = 0
        self._parts = ZipParts(file)
        totals, lines = sheets(document, rows_per_sheet)
        self._styles: dict[str, int] = {}
        skeleton = self._skeleton([*totals, *lines])
        self._totals = _Pages(self._parts, skeleton, first=2, sheets=totals)
        self._lines = _Pages(self._parts, skeleton, first=2 + len(totals), sheets=lines)
        for name, content in skeleton.items():
            if not self._totals.owns(name) and not self._lines.owns(name):
                self._parts.add(name, content)
        self._totals_open = True
        self._date_cell = ""

    def customer_totals(self, block: str) -> None:
        """Rows of the sheet of totals."""
        rows = block.split("\n")
        rows.pop()
        cells = []
        for row in rows:
            customer, name, currency, lines, total = map(unescape, row.split("\t"))
            cells.append(
                f"<row>{self._text(customer)}{self._text(name)}{self._text(currency)}<c><v>{lines}</v></c>"
                f"{self._number(total, self._money(currency))}</row>"
            )
        self._totals.write(cells)

    def begin_batch(self, batch: BatchFacts) -> None:
        """The rows that follow are of this date."""
        self._finish_totals()
        self._date_cell = f'<row><c s="{_DATE_STYLE}"><v>{serial(batch.batch_date)}</v></c>'

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        rows = block.decode().split("\n")
        rows.pop()
        care = holds(block, _CARE) or block.startswith((b" ", b"\t")) or max(map(len, rows)) > MAX_CELL_CHARACTERS
        cells: list[str] = []
        append = cells.append
        start = self._date_cell
        add = self._sums.add
        number = self._number
        for row in rows:
            fields = row.split("\t")
            quantity, price, total, currency, kind, flags = fields[_TEXTS:]
            if care:
                head = "".join([self._text(unescape(field)) for field in fields[:_TEXTS]])
                flags = unescape(flags)
            else:
                head = _HEAD % tuple(fields[:_TEXTS])
            style = self._styles.get(currency) or self._money(currency)
            add(currency, total)
            append(
                f"{start}{head}{number(quantity, _QUANTITY_STYLE)}"
                f"{number(price, _QUANTITY_STYLE) if price else '<c/>'}{number(total, style)}"
                f'<c t="inlineStr"><is><t>{currency}</t></is></c><c t="inlineStr"><is><t>{kind}</t></is></c>'
                f"{self._text(flags) if flags else '<c/>'}</row>"
            )
        self._rows += len(rows)
        self._lines.write(cells)

    def close(self) -> Rendered:
        """Finish the file.

        Raises:
            DocumentError: the rows do not add up.
        """
        self._sums.check(self._document.totals)
        self._finish_totals()
        self._lines.close()
        self._parts.close()
        return Rendered(self._rows, self._replaced)

    def _finish_totals(self) -> None:
        """The document's totals below the customers'; a zip file has one part open at a time, so before any line."""
        if self._totals_open:
            self._totals_open = False
            self._totals.write(
                [
                    f"<row>{self._text('All customers')}<c/>{self._text(total.currency)}<c><v>{total.lines}</v></c>"
                    f"{self._number(plain(total.amount), self._money(total.currency))}</row>"
                    for total in self._document.totals
                ]
            )
            self._totals.close()

    def _text(self, text: str) -> str:
        if not text:
            return "<c/>"
        text, replaced = visible(text)
        self._replaced += replaced + max(0, len(text) - MAX_CELL_CHARACTERS)
        text = text[:MAX_CELL_CHARACTERS]
        space = "" if text.strip() == text else ' xml:space="preserve"'
        text = _LOOKS_ESCAPED.sub("_x005F_", text).translate(_ESCAPES)
        return f'<c t="inlineStr"><is><t{space}>{text}</t></is></c>'

    @staticmethod
    def _number(number: str, style: int) -> str:
        # A number with more digits than a cell keeps is written as text: exact rather than summable.
        if len(number) <= 15 or fits(number):  # noqa: PLR2004 - what fits() asks first, without the call
            return f'<c s="{style}"><v>{number}</v></c>'
        return f'<c s="{style}" t="inlineStr"><is><t>{number}</t></is></c>'

    def _money(self, currency: str) -> int:
        style = _MONEY_STYLES + sorted({2, *MINOR_DIGITS.values()}).index(MINOR_DIGITS.get(currency, 2))
        self._styles[currency] = style
        return style

    def _skeleton(self, pages: list[Sheet]) -> dict[str, bytes]:
        """The workbook without its rows: every part's bytes by name."""
        raw = io.BytesIO()
        book = xlsxwriter.Workbook(raw, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
        # After the date and the quantity, one style for each number of digits a currency may have after the point.
        formats = [book.add_format({"num_format": "yyyy-mm-dd"}), book.add_format({"num_format": "0.##########"})]
        formats += [
            book.add_format({"num_format": money_format(code)})
            for code in (
                next((c for c, d in MINOR_DIGITS.items() if d == digits), "EUR")
                for digits in sorted({2, *MINOR_DIGITS.values()})
            )
        ]
        bold = book.add_format({"bold": True})
        book.set_properties(
            {"title": "Customer detail", "author": "Tallyport", "created": _NO_TIME.replace(tzinfo=None)}
        )
        sheet = book.add_worksheet("Cover")
        sheet.set_column(0, 0, 24)
        sheet.set_column(1, 1, 100)
        for row, (label, value) in enumerate(cover(self._document)):
            sheet.write_string(row, 0, visible(label)[0], bold)
            if isinstance(value, str):
                sheet.write_string(row, 1, visible(value)[0])
            else:
                sheet.write_number(row, 1, serial(value), formats[0])
        for index, style in enumerate(formats):
            # The label in the first row is the first use of bold, number 1; these cells use the others in their order.
            sheet.write_blank(index, 3, None, style)
        for page in pages:
            sheet = book.add_worksheet(page.name)
            sheet.freeze_panes(1, 0)
            for column, (name, width) in enumerate(zip(page.columns, page.widths, strict=True)):
                sheet.set_column(column, column, width)
                sheet.write_string(0, column, name, bold)
            sheet.autofilter(0, 0, page.rows, len(page.columns) - 1)
        book.close()
        with zipfile.ZipFile(raw) as parts:
            return {name: parts.read(name) for name in parts.namelist()}


class _Pages:
    """Rows over as many sheets as they need, one open at a time."""

    def __init__(self, parts: ZipParts, skeleton: dict[str, bytes], *, first: int, sheets: list[Sheet]) -> None:
        self._parts = parts
        self._pages = {f"xl/worksheets/sheet{first + index}.xml": sheet for index, sheet in enumerate(sheets)}
        self._around = {name: self._split(skeleton[name].decode(), sheet) for name, sheet in self._pages.items()}
        self._names = iter(self._pages)
        self._open: tuple[AbstractContextManager[PartWriter], PartWriter, str] | None = None
        self._room = 0

    @staticmethod
    def _split(xml: str, sheet: Sheet) -> tuple[str, str]:
        last = chr(ord("A") + len(sheet.columns) - 1)
        before, after = xml.split(_SHEET_DATA_END)
        return _DIMENSION.sub(f'<dimension ref="A1:{last}{sheet.rows + 1}"/>', before), _SHEET_DATA_END + after

    def owns(self, name: str) -> bool:
        """Whether the part is one of these sheets."""
        return name in self._pages

    def write(self, rows: list[str]) -> None:
        """Add rows; each is a whole ``row`` element."""
        while rows:
            if self._room == 0:
                self._next_page()
            writer = self._writer()
            writer.write("".join(rows[: self._room]))
            taken = min(len(rows), self._room)
            rows = rows[taken:]
            self._room -= taken

    def close(self) -> None:
        """Finish the sheet that is open; sheets that got no row are written with their header."""
        self._finish_page()
        for name in self._names:
            self._parts.add(name, "".join(self._around[name]).encode())

    def _writer(self) -> PartWriter:
        if self._open is None:
            raise DocumentError("there are more rows than were announced")
        return self._open[1]

    def _next_page(self) -> None:
        self._finish_page()
        name = next(self._names, None)
        if name is None:
            raise DocumentError("there are more rows than were announced")
        part = self._parts.open(name, large=self._pages[name].rows > _LARGE_ROWS)
        writer = part.__enter__()
        writer.write(self._around[name][0])
        self._open = part, writer, name
        self._room = self._pages[name].rows

    def _finish_page(self) -> None:
        if self._open is not None:
            part, writer, name = self._open
            self._open = None
            writer.write(self._around[name][1])
            part.__exit__(None, None, None)
