"""Reports as .xlsx: XlsxWriter makes the workbook, its sheets of rows are filled from templates."""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import BinaryIO, Final

from report_builder.documents.model import Document, DocumentError, Rendered, Sums, Table
from report_builder.documents.sheets import MAX_DIGITS, RowShape, Sheet, fact_pages, fits, pages, serial
from report_builder.documents.text import is_odd, odd_row, unescape, visible
from report_builder.documents.words import Words
from report_builder.documents.xlsx_workbook import BOLD, FORMATS, marked, skeleton
from report_builder.documents.zip_parts import PartWriter, ZipParts

ROWS_PER_SHEET: Final = 1_048_575  # and the header
MAX_CELL_CHARACTERS: Final = 32_767
_LARGE_ROWS: Final = 20_000  # more rows than this may, with the longest texts, pass 2 GiB in one sheet

# Excel reads _x0041_ as the character 0x41; so the underscore of text that looks like it is written that way itself.
_LOOKS_ESCAPED: Final = re.compile(rb"_(?=x[0-9A-Fa-f]{4}_)")
# Takes a field and writes nothing of it.
_EMPTY: Final = b"<c/>%.0b"
_RETURN: Final = "\r"
_SHEET_DATA_END: Final = "</sheetData>"
_DIMENSION: Final = re.compile(r'<dimension ref="[^"]*"/>')
_PLAIN_ROWS: Final = '<sheetFormatPr defaultRowHeight="15"'
_LINE: Final = b"line"


class XlsxDocument:
    """Pours rows into the sheets of a ready workbook.

    Strings are inline strings, so nothing is ever a formula and no table of strings grows in memory. A row's template
    is made once for each currency and each set of columns that are empty; filling it is most of the work.
    """

    copy_format = "text"
    with_totals = True

    def __init__(self, file: BinaryIO, document: Document, rows_per_sheet: int = ROWS_PER_SHEET) -> None:
        self._document = document
        self._words = Words(document.language)
        self._marked = marked(self._words)
        self._sums = Sums(document.table)
        self._rows = 0
        self._replaced = 0
        self._parts = ZipParts(file)
        own = pages(document.table, document.rows, rows_per_sheet, self._words)
        above = document.totals_table
        totals = pages(above, document.totals_rows, rows_per_sheet, self._words) if above else []
        facts = fact_pages(document, rows_per_sheet, self._words)
        content = skeleton(document, self._words, [*totals, *own], facts, self._shown)
        first = 3 if document.charts else 2
        self._own = _Pages(self._parts, content, first=first + len(totals), sheets=own)
        self._totals = _Pages(self._parts, content, first=first, sheets=totals)
        for name, part in content.items():
            if not self._totals.owns(name) and not self._own.owns(name):
                self._parts.add(name, part)
        self._pages = self._totals
        self._day = b""
        self._templates: dict[tuple[bytes, bytes], bytes] = {}
        self._shape = RowShape(document.table, self._words)

    def begin(self, table: Table, day: date | None = None) -> None:
        """Rows of this table follow."""
        self._shape = RowShape(table, self._words)
        self._templates.clear()
        self._day = b"" if day is None else b'<c s="%d"><v>%d</v></c>' % (FORMATS, serial(day))
        if table is self._document.table and self._pages is self._totals:
            # A zip file has one part open at a time.
            self._totals.close()
            self._pages = self._own

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        rows = _with_entities(block).split(b"\n")
        rows.pop()
        odd = is_odd(block) or max(map(len, rows)) > MAX_CELL_CHARACTERS
        cells: list[bytes] = []
        shape, templates = self._shape, self._templates
        currency, remarks, numbers, dates = shape.currency, shape.remarks, shape.numbers, shape.dates
        own = self._pages is self._own
        figures: defaultdict[bytes, list[tuple[bytes, ...]]] = defaultdict(list)
        for row in rows:
            fields = row.split(b"\t")
            if own:
                figures[fields[currency]].append(self._sums.pick(fields))
            if odd and (odd_row(row) or len(row) > MAX_CELL_CHARACTERS):
                cells.append(self._slow_row([unescape(field.decode()) for field in fields]))
                continue
            if remarks:
                special = fields[shape.flags] or (shape.kind >= 0 and fields[shape.kind] != _LINE)
                fields.append(shape.remark([field.decode() for field in fields]).encode() if special else b"")
            if max(map(len, numbers(fields))) > MAX_DIGITS:
                cells.append(self._slow_row([field.decode() for field in fields]))
                continue
            for index in dates:
                if fields[index]:
                    fields[index] = b"%d" % serial(date.fromisoformat(fields[index].decode()))
            key = fields[currency], bytes(map(bool, fields))
            template = templates.get(key) or self._template(key, fields)
            cells.append(template % tuple(fields))
        if own:
            self._sums.take(figures)
            self._rows += len(rows)
        self._pages.write(cells)

    def close(self) -> Rendered:
        """Finish the file.

        Raises:
            DocumentError: the rows do not add up.
        """
        self._sums.check(self._document.totals)
        if self._pages is self._totals:
            self._totals.close()
        self._own.close()
        self._parts.close()
        return Rendered(self._rows, self._replaced)

    def _shown(self, text: str) -> str:
        """Text of the workbook's own sheets, with what XML forbids replaced visibly."""
        text, replaced = visible(text)
        cut = max(0, len(text) - MAX_CELL_CHARACTERS)
        self._replaced += replaced + cut
        return text[:MAX_CELL_CHARACTERS]

    def _row_start(self, fields: Sequence[bytes | str]) -> bytes:
        depth = self._shape.depth(fields) if self._shape.outline else 0
        return (b'<row outlineLevel="%d">' % depth if depth else b"<row>") + self._day

    def _text_style(self, fields: Sequence[bytes | str]) -> int:
        if self._shape.outline:
            return 0 if self._shape.depth(fields) else BOLD
        return self._marked if self._shape.remarks and fields[-1] else 0

    def _template(self, key: tuple[bytes, bytes], fields: list[bytes]) -> bytes:
        """A row in which the same fields are empty, in the same currency."""
        style = self._text_style(fields)
        text = b'<c%b t="inlineStr"><is><t>%%b</t></is></c>' % (b' s="%d"' % style if style else b"")
        cells = [self._row_start(fields)]
        for index, field in enumerate(fields):
            number = self._shape.number_format(index, key[0].decode())
            if not field:
                cells.append(_EMPTY)
            elif number is None:
                cells.append(text)
            else:
                cells.append(b'<c s="%d"><v>%%b</v></c>' % (FORMATS + number))
        template = self._templates[key] = b"".join(cells) + b"</row>"
        return template

    def _slow_row(self, fields: list[str]) -> bytes:
        """A row with something odd: a character that has to be replaced, a text or a number that is too long."""
        shape = self._shape
        if shape.remarks and len(fields) == len(shape.table.columns):
            special = fields[shape.flags] or (shape.kind >= 0 and fields[shape.kind] != _LINE.decode())
            fields.append(shape.remark(fields) if special else "")
        style = self._text_style(fields)
        cells = [self._row_start(fields)]
        for index, field in enumerate(fields):
            number = shape.number_format(index, fields[shape.currency])
            if number is None or not field:
                cells.append(self._cell(field, style))
            else:
                value = str(serial(date.fromisoformat(field))) if index in shape.dates else field
                cells.append(_number(value, FORMATS + number))
        return b"".join(cells) + b"</row>"

    def _cell(self, text: str, style: int) -> bytes:
        """A cell of text whose entities are written already."""
        if not text:
            return b"<c/>"
        text, replaced = visible(text)
        self._replaced += replaced
        if len(text) > MAX_CELL_CHARACTERS:
            readable = html.unescape(text)
            self._replaced += max(0, len(readable) - MAX_CELL_CHARACTERS)
            text = _with_entities(readable[:MAX_CELL_CHARACTERS].encode()).decode()
        space = "" if text.strip() == text else ' xml:space="preserve"'
        styled = f' s="{style}"' if style else ""
        return f'<c{styled} t="inlineStr"><is><t{space}>{text.replace(_RETURN, "&#13;")}</t></is></c>'.encode()


def _number(number: str, style: int) -> bytes:
    # A number with more digits than a cell keeps is written as text: exact rather than summable.
    if fits(number):
        return f'<c s="{style}"><v>{number}</v></c>'.encode()
    return f'<c s="{style}" t="inlineStr"><is><t>{number}</t></is></c>'.encode()


def _with_entities(text: bytes) -> bytes:
    """Text, or a whole block of rows, with what XML and Excel would misread written their way."""
    text = text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
    return _LOOKS_ESCAPED.sub(b"_x005F_", text) if b"_x" in text else text


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
        if sheet.outlined:
            before = before.replace(_PLAIN_ROWS, f'{_PLAIN_ROWS} outlineLevelRow="{sheet.outlined}"')
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
