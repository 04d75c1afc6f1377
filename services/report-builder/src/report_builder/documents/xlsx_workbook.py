"""The .xlsx workbook without its rows, as XlsxWriter makes it: styles, cover, charts, completeness, empty sheets."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final

import xlsxwriter
from tallyport.money import plain

from report_builder.documents.charts import add_charts
from report_builder.documents.model import Document
from report_builder.documents.sheets import (
    COUNTS,
    COVER_WIDTHS,
    Amount,
    Fact,
    FactRow,
    Sheet,
    cell_formats,
    cover,
    fits,
    money_index,
    serial,
)
from report_builder.documents.words import Words

# XlsxWriter numbers styles in the order of their first use. The cover's first row uses them in this order.
BOLD: Final = 2
FORMATS: Final = 3
_NO_TIME: Final = datetime(1980, 1, 1, tzinfo=UTC)
_A4: Final = 9
_FIRST_SPARE_COLUMN: Final = 3


def marked(words: Words) -> int:
    """The style of text in rows that are remarked on; it follows those of the formats."""
    return FORMATS + len(cell_formats(words))


def skeleton(
    document: Document,
    words: Words,
    rows: list[Sheet],
    facts: tuple[list[Sheet], list[FactRow]],
    shown: Callable[[str], str],
) -> dict[str, bytes]:
    """Every part's bytes by name. ``rows`` are the sheets filled later; ``shown`` makes text fit for a cell."""
    raw = io.BytesIO()
    book = xlsxwriter.Workbook(raw, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    title = book.add_format({"bold": True, "font_size": 14})
    bold = book.add_format({"bold": True})
    formats = [book.add_format({"num_format": pattern}) for pattern in cell_formats(words)]
    italic = book.add_format({"italic": True, "font_color": "#7F3F00"})
    header = book.add_format({"bold": True, "bg_color": "#DDE6EE", "text_wrap": True, "valign": "top"})
    book.set_properties(
        {"title": words(f"kind.{document.kind}"), "author": "Tallyport", "created": _NO_TIME.replace(tzinfo=None)}
    )
    sheet = _page(book, words("sheet.cover"))
    for column, width in enumerate(COVER_WIDTHS):
        sheet.set_column(column, column, width)
    for column, style in enumerate([bold, *formats, italic], start=_FIRST_SPARE_COLUMN):
        sheet.write_blank(0, column, None, style)
    left = [book.add_format({"num_format": pattern, "align": "left"}) for pattern in cell_formats(words)]
    for row, fact in enumerate(cover(document, words)):
        sheet.write_string(row, 0, shown(fact[0]), bold if row else title)
        _fact(sheet, row, fact, left, shown)
    if document.charts:
        add_charts(book, document.charts, words, formats=formats, bold=bold, shown=shown)
    for page in rows:
        _table(book, page, header)
    pages, texts = facts
    following = iter(texts)
    for page in pages:
        sheet = _table(book, page, header)
        for row, cells in zip(range(1, page.rows + 1), following, strict=False):
            if cells[0]:
                sheet.write_number(row, 0, serial(cells[0]), formats[0])
            for column, text in enumerate(cells[1:], start=1):
                sheet.write_string(row, column, shown(text))
    book.close()
    with zipfile.ZipFile(raw) as parts:
        return {name: parts.read(name) for name in parts.namelist()}


def _page(book: Any, name: str) -> Any:
    sheet = book.add_worksheet(name)
    sheet.set_landscape()
    sheet.set_paper(_A4)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer("&L&A&R&P / &N")
    return sheet


def _table(book: Any, page: Sheet, header: Any) -> Any:
    sheet = _page(book, page.name)
    sheet.freeze_panes(1, 0)
    sheet.repeat_rows(0)
    for column, (name, width) in enumerate(zip(page.columns, page.widths, strict=True)):
        sheet.set_column(column, column, width)
        sheet.write_string(0, column, name, header)
    if page.outlined:
        # A group's totals stand above what they are the totals of.
        sheet.outline_settings(symbols_below=False)
    else:
        sheet.autofilter(0, 0, page.rows, len(page.columns) - 1)
    return sheet


def _fact(sheet: Any, row: int, fact: Fact, formats: list[Any], shown: Callable[[str], str]) -> None:
    value = fact[1]
    if isinstance(value, date):
        sheet.write_number(row, 1, serial(value), formats[0])
    elif isinstance(value, int):
        sheet.write_number(row, 1, value, formats[COUNTS])
    elif isinstance(value, Amount):
        text = plain(value.value)
        if fits(text):
            sheet.write_number(row, 1, value.value, formats[money_index(value.currency)])
        else:
            sheet.write_string(row, 1, text)
    else:
        sheet.write_string(row, 1, shown(value))
