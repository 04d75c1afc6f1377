"""Reports as .xlsx and .xls."""

from __future__ import annotations

import io
from collections import defaultdict
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
import xlrd
from documents_bench import (
    SATURDAY,
    TWO_DAYS,
    Row,
    line,
    render,
    rows,
    rows_of_xls,
    rows_of_xlsx,
    shown,
)
from hypothesis import given, settings
from report_builder.documents.xls_document import XlsDocument
from report_builder.documents.xlsx_document import XlsxDocument


@pytest.mark.parametrize(("name", "read"), [("xlsx", rows_of_xlsx), ("xls", rows_of_xls)])
def test_the_totals_add_up_in_sheets(name: str, read: Any) -> None:
    raw, _ = render(name, TWO_DAYS)
    sums: dict[tuple[Any, Any], Decimal] = defaultdict(Decimal)
    for row in read(raw):
        sums[row[1], row[14]] += Decimal(str(row[13]))
    totals = read(raw, "Totals")
    of_customers = [row for row in totals if not row[2]]
    assert {(row[0], row[4]): Decimal(str(row[6])) for row in of_customers} == sums
    assert [(row[0], row[2], row[3], row[5]) for row in totals[:3]] == [
        ("c-1", totals[0][2], totals[0][3], 3), ("c-1", "HE", totals[1][3], 3), ("c-1", "HE", "he-user", 3),
    ]  # fmt: skip
    cover = {row[0]: row[1] for row in read(raw, "Cover")}
    assert (Decimal(str(cover["Total EUR"])), cover["Total JPY"]) == (Decimal("6.08"), 12)


def test_cells_have_types_in_xlsx() -> None:
    book = openpyxl.load_workbook(io.BytesIO(render("xlsx", {SATURDAY: [line(name="=1+1", sales_price=None)]})[0]))
    assert book.sheetnames == ["Cover", "Totals", "Lines", "Completeness"]
    cells = book["Lines"][2]
    assert cells[0].is_date
    assert cells[0].value.date() == SATURDAY
    assert cells[0].number_format == "yyyy-mm-dd"
    assert (cells[8].value, cells[8].data_type) == ("=1+1", "inlineStr") or (cells[8].data_type == "s")
    assert cells[8].value == "=1+1"
    assert (cells[11].value, cells[12].value, cells[13].value) == (1024.5, None, 1.54)
    assert cells[13].number_format == "#,##0.00"
    assert book["Cover"]["B2"].value.date() == SATURDAY


def test_cells_have_types_in_xls() -> None:
    raw, _ = render("xls", {SATURDAY: [line(name="=1+1", sales_price=None, description="日本 \U0001f600")]})
    book = xlrd.open_workbook(file_contents=raw, formatting_info=True)
    assert book.sheet_names() == ["Cover", "Totals", "Lines", "Completeness"]
    assert book.biff_version == 80
    cells = book.sheet_by_name("Lines").row(1)
    assert cells[0].ctype == xlrd.XL_CELL_DATE
    assert xlrd.xldate_as_datetime(cells[0].value, book.datemode).date() == SATURDAY
    assert (cells[8].ctype, cells[8].value) == (xlrd.XL_CELL_TEXT, "=1+1")
    assert cells[7].value == "日本 \U0001f600"
    assert (cells[11].ctype, cells[11].value) == (xlrd.XL_CELL_NUMBER, 1024.5)
    assert cells[12].ctype == xlrd.XL_CELL_EMPTY


@pytest.mark.parametrize(("name", "read"), [("xlsx", rows_of_xlsx), ("xls", rows_of_xls)])
def test_a_number_with_more_digits_than_a_cell_keeps_is_text(name: str, read: Any) -> None:
    long, enough = "1234567890.1234567", "123456789.012345000000"
    row = read(render(name, {SATURDAY: [line(quantity=long, sales_price=enough, total="-12345678901234567.00")]})[0])[0]
    assert row[11] == long
    assert row[12] == 123456789.012345
    assert row[13] == "-12345678901234567.00"


@pytest.mark.parametrize(
    ("make", "read"), [(XlsxDocument, rows_of_xlsx), (XlsDocument, rows_of_xls)], ids=["xlsx", "xls"]
)
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 21])
def test_rows_continue_on_the_next_sheet(make: Any, read: Any, count: int) -> None:
    days = {SATURDAY: [line(object_id=f"o-{number:03}") for number in range(count)]}
    raw, rendered = render("", days, make=lambda file, document: make(file, document, rows_per_sheet=10))
    assert rendered.rows == count
    assert [row[6] for row in read(raw)] == [f"o-{number:03}" for number in range(count)]


def test_an_xls_of_many_sectors_is_read_back() -> None:
    days = {SATURDAY: [line(object_id=f"o-{number:06}") for number in range(70_000)]}
    raw, _ = render("xls", days)
    assert len(raw) > 109 * 128 * 512, "this must need more allocation sectors than the header lists"
    book = xlrd.open_workbook(file_contents=raw)
    assert [sheet.nrows for sheet in book.sheets()[2:4]] == [65_536, 4_466]
    assert book.sheet_by_name("Lines 2").cell_value(4_465, 6) == "o-069999"


def same(written: str | None, cell: Any) -> bool:
    if cell in (None, ""):
        return not written
    if isinstance(cell, str):
        return cell == written
    return written is not None and abs(Decimal(str(cell)) - Decimal(written)) <= abs(Decimal(written)) * Decimal(
        "1e-14"
    )


@settings(deadline=None, max_examples=60)
@given(rows())
def test_any_text_and_number_comes_back_from_sheets(written: list[Row]) -> None:
    for name, read in (("xlsx", rows_of_xlsx), ("xls", rows_of_xls)):
        raw, _ = render(name, {SATURDAY: written})
        for row, cells in zip(written, read(raw), strict=True):
            for column, value in enumerate(row, start=1):
                if column in (11, 12, 13):
                    assert same(value, cells[column]), (name, column, value, cells[column])
                else:
                    assert (cells[column] or "") == shown(value), (name, column)
