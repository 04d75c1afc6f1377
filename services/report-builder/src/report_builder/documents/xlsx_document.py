"""The customer detail as .xlsx: XlsxWriter makes the workbook, its sheets of rows are filled from templates."""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections import defaultdict
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import BinaryIO, Final

import xlsxwriter
from tallyport.money import MINOR_DIGITS, plain

from report_builder.documents.model import BatchFacts, Document, DocumentError, Rendered, Sums
from report_builder.documents.sheets import MAX_DIGITS, Sheet, cover, fits, money_format, serial, sheets
from report_builder.documents.text import is_odd, odd_row, unescape, visible
from report_builder.documents.zip_parts import PartWriter, ZipParts

ROWS_PER_SHEET: Final = 1_048_575  # and the header
MAX_CELL_CHARACTERS: Final = 32_767
_LARGE_ROWS: Final = 20_000  # more rows than this may, with the longest texts, pass 2 GiB in one sheet

# Excel reads _x0041_ as the character 0x41; so the underscore of text that looks like it is written that way itself.
_LOOKS_ESCAPED: Final = re.compile(rb"_(?=x[0-9A-Fa-f]{4}_)")
_TEXT_START: Final = b'<c t="inlineStr"><is><t>'
_TEXT_END: Final = b"</t></is></c>"
_TEXT_BETWEEN: Final = _TEXT_END + _TEXT_START
_TEXT: Final = _TEXT_START + b"%b" + _TEXT_END
_EMPTY_TEXT: Final = _TEXT_START + _TEXT_END
_EMPTY: Final = b"<c/>"
_DIGITS: Final = tuple(sorted({2, *MINOR_DIGITS.values()}))
_RETURN: Final = "\r"
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
        self._templates: dict[bytes, bytes] = {}
        skeleton = self._skeleton([*totals, *lines])
        self._totals = _Pages(self._parts, skeleton, first=2, sheets=totals)
        self._lines = _Pages(self._parts, skeleton, first=2 + len(totals), sheets=lines)
        for name, content in skeleton.items():
            if not self._totals.owns(name) and not self._lines.owns(name):
                self._parts.add(name, content)
        self._totals_open = True
        self._row_start = b""

    def customer_totals(self, block: str) -> None:
        """Rows of the sheet of totals."""
        rows = block.split("\n")
        rows.pop()
        self._totals.write([self._total_row(*map(unescape, row.split("\t"))) for row in rows])

    def begin_batch(self, batch: BatchFacts) -> None:
        """The rows that follow are of this date."""
        self._finish_totals()
        self._row_start = f'<row><c s="{_DATE_STYLE}"><v>{serial(batch.batch_date)}</v></c>'.encode()

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        rows = _with_entities(block).split(b"\n")
        rows.pop()
        odd = is_odd(block) or max(map(len, rows)) > MAX_CELL_CHARACTERS
        cells: list[bytes] = []
        totals: defaultdict[bytes, list[bytes]] = defaultdict(list)
        start = self._row_start
        for row in rows:
            texts, quantity, price, total, currency, kind, flags = row.rsplit(b"\t", 6)
            if odd and (odd_row(row) or len(row) > MAX_CELL_CHARACTERS):
                texts = b"".join([self._cell(unescape(field.decode())) for field in texts.split(b"\t")])
                flags = self._cell(unescape(flags.decode()))
            else:
                texts = _TEXT_START + texts.replace(b"\t", _TEXT_BETWEEN) + _TEXT_END
                if _EMPTY_TEXT in texts:
                    texts = texts.replace(_EMPTY_TEXT, _EMPTY)
                flags = _TEXT % flags if flags else _EMPTY
            totals[currency].append(total)
            if price and len(quantity) <= MAX_DIGITS and len(price) <= MAX_DIGITS and len(total) <= MAX_DIGITS:
                template = self._templates.get(currency) or self._template(currency)
                cells.append(template % (start, texts, quantity, price, total, kind, flags))
            else:
                numbers = self._numbers(quantity, price, total, currency)
                cells.append(b"".join((start, texts, numbers, _TEXT % currency, _TEXT % kind, flags, b"</row>")))
        self._sums.take(totals)
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
                    self._total_row("All customers", "", total.currency, str(total.lines), plain(total.amount))
                    for total in self._document.totals
                ]
            )
            self._totals.close()

    def _total_row(self, customer: str, name: str, currency: str, lines: str, total: str) -> bytes:
        texts = self._text(customer) + self._text(name) + self._text(currency)
        numbers = self._number(lines, 0) + self._number(total, _money_style(currency))
        return b"<row>" + texts + numbers + b"</row>"

    def _text(self, text: str) -> bytes:
        return self._cell(_with_entities(text.encode()).decode())

    def _cell(self, text: str) -> bytes:
        """A cell of text whose entities are written already."""
        if not text:
            return _EMPTY
        text, replaced = visible(text)
        self._replaced += replaced
        if len(text) > MAX_CELL_CHARACTERS:
            readable = html.unescape(text)
            self._replaced += max(0, len(readable) - MAX_CELL_CHARACTERS)
            text = _with_entities(readable[:MAX_CELL_CHARACTERS].encode()).decode()
        space = "" if text.strip() == text else ' xml:space="preserve"'
        return f'<c t="inlineStr"><is><t{space}>{text.replace(_RETURN, "&#13;")}</t></is></c>'.encode()

    @staticmethod
    def _number(number: str, style: int) -> bytes:
        # A number with more digits than a cell keeps is written as text: exact rather than summable.
        if fits(number):
            return f'<c s="{style}"><v>{number}</v></c>'.encode()
        return f'<c s="{style}" t="inlineStr"><is><t>{number}</t></is></c>'.encode()

    def _numbers(self, quantity: bytes, price: bytes, total: bytes, currency: bytes) -> bytes:
        """The cells of numbers that are not there, or may be too long."""
        price_cell = self._number(price.decode(), _QUANTITY_STYLE) if price else _EMPTY
        quantity_cell = self._number(quantity.decode(), _QUANTITY_STYLE)
        return quantity_cell + price_cell + self._number(total.decode(), _money_style(currency.decode()))

    def _template(self, currency: bytes) -> bytes:
        """A row of this currency: start, texts, quantity, price, total, kind and the cell of flags."""
        quantity = b'<c s="%d"><v>%%b</v></c>' % _QUANTITY_STYLE
        total = b'<c s="%d"><v>%%b</v></c>' % _money_style(currency.decode())
        shown = (_TEXT % currency).replace(b"%", b"%%")
        template = b"%b%b" + quantity + quantity + total + shown + _TEXT + b"%b</row>"
        self._templates[currency] = template
        return template

    def _skeleton(self, pages: list[Sheet]) -> dict[str, bytes]:
        """The workbook without its rows: every part's bytes by name."""
        raw = io.BytesIO()
        book = xlsxwriter.Workbook(raw, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
        # After the date and the quantity, one style for each number of digits a currency may have after the point.
        formats = [book.add_format({"num_format": "yyyy-mm-dd"}), book.add_format({"num_format": "0.##########"})]
        formats += [
            book.add_format({"num_format": money_format(code)})
            for code in (next((c for c, d in MINOR_DIGITS.items() if d == digits), "EUR") for digits in _DIGITS)
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


def _with_entities(text: bytes) -> bytes:
    """Text, or a whole block of rows, with what XML and Excel would misread written their way."""
    text = text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
    return _LOOKS_ESCAPED.sub(b"_x005F_", text) if b"_x" in text else text


def _money_style(currency: str) -> int:
    return _MONEY_STYLES + _DIGITS.index(MINOR_DIGITS.get(currency, 2))


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
    def _split(xml: str, sheet: Sheet) -> tuple[bytes, bytes]:
        last = chr(ord("A") + len(sheet.columns) - 1)
        before, after = xml.split(_SHEET_DATA_END)
        before = _DIMENSION.sub(f'<dimension ref="A1:{last}{sheet.rows + 1}"/>', before)
        return before.encode(), (_SHEET_DATA_END + after).encode()

    def owns(self, name: str) -> bool:
        """Whether the part is one of these sheets."""
        return name in self._pages

    def write(self, rows: list[bytes]) -> None:
        """Add rows; each is a whole ``row`` element."""
        while rows:
            if self._room == 0:
                self._next_page()
            writer = self._writer()
            writer.write(b"".join(rows[: self._room]))
            taken = min(len(rows), self._room)
            rows = rows[taken:]
            self._room -= taken

    def close(self) -> None:
        """Finish the sheet that is open; sheets that got no row are written with their header."""
        self._finish_page()
        for name in self._names:
            self._parts.add(name, b"".join(self._around[name]))

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
