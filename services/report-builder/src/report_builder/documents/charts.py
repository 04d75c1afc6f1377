"""The charts of an .xlsx: their figures on a sheet, and beside them what they look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from report_builder.documents.model import ChartSeries
from report_builder.documents.sheets import money_index
from report_builder.documents.words import Words

_ROWS_OF_A_CHART: Final = 16
_FIRST_CHART_COLUMN: Final = 5
_SECOND_CHART_COLUMN: Final = 13


def add_charts(
    book: Any,
    charts: tuple[ChartSeries, ...],
    words: Words,
    *,
    formats: list[Any],
    bold: Any,
    shown: Callable[[str], str],
) -> None:
    """A sheet with the figures by service and, per currency, one chart of this period and one of both.

    A period without data has no cells, and no bars: not bars of nothing.
    """
    sheet = book.add_worksheet(words("sheet.charts"))
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, 3, 16)
    row = 0
    for chart in charts:
        headings = [f"{words('column.service')}, {chart.currency}"]
        headings += [words("column.this_period"), words("column.last_period")]
        for column, text in enumerate(headings):
            sheet.write_string(row, column, text, bold)
        money = formats[money_index(chart.currency)]
        figures = zip(chart.labels, chart.this_period, chart.last_period, strict=True)
        for index, (label, this, last) in enumerate(figures, start=row + 1):
            sheet.write_string(index, 0, shown(label))
            sheet.write_number(index, 1, this, money)
            if last is not None:
                sheet.write_number(index, 2, last, money)
        _draw(book, sheet, chart, row, words)
        row += max(len(chart.labels) + 2, 2 * _ROWS_OF_A_CHART)


def _draw(book: Any, sheet: Any, chart: ChartSeries, row: int, words: Words) -> None:
    first, last = row + 1, row + len(chart.labels)

    def series(column: int) -> dict[str, Any]:
        return {
            "name": [sheet.name, row, column],
            "categories": [sheet.name, first, 0, last, 0],
            "values": [sheet.name, first, column, last, column],
        }

    by_service = book.add_chart({"type": "bar"})
    by_service.add_series(series(1))
    by_service.set_title({"name": words("chart.by_service", currency=chart.currency)})
    by_service.set_legend({"none": True})
    by_service.set_y_axis({"reverse": True})
    sheet.insert_chart(row, _FIRST_CHART_COLUMN, by_service)
    periods = book.add_chart({"type": "column"})
    for column in (2, 1):
        periods.add_series(series(column))
    periods.set_title({"name": words("chart.periods", currency=chart.currency)})
    periods.set_legend({"position": "bottom"})
    periods.show_blanks_as("gap")
    sheet.insert_chart(row, _SECOND_CHART_COLUMN, periods)
