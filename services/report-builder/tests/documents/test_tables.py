"""What holds for every kind of report and every format, whatever its rows say."""

from __future__ import annotations

import io
import re
from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import Any

import openpyxl
import pytest
import xlrd
from documents_bench import Row, numbers, shown, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds_bench import rows, totals
from lxml import etree
from report_builder.documents.formats import FORMATS
from report_builder.documents.model import CURRENCY, ChartSeries, Table
from report_builder.documents.words import Words
from report_builder.reports.kinds import customer_detail
from report_builder.reports.model import KINDS, LANGUAGES
from tables_bench import DAY, TABLES, document_of, made_of

XS = "{http://www.w3.org/2001/XMLSchema}"


def value(table: Table, index: int, draw: Any) -> str | None:
    column = table.columns[index]
    if column.name == CURRENCY:
        return str(draw(st.sampled_from(["EUR", "JPY", "KWD"])))
    if column.name == "kind":
        return str(draw(st.sampled_from(["line", "correction", "adjustment"])))
    if column.optional and draw(st.booleans()):
        return None
    strategy = {
        "text": texts,
        "date": st.dates(date(2000, 1, 1), date(2199, 12, 31)).map(str),
        "count": st.integers(0, 10**9).map(str),
        "quantity": numbers.map("{:f}".format),
        "money": numbers.map("{:f}".format),
    }[column.kind]
    return str(draw(strategy))


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[Row], list[Row]]:
    kind = draw(st.sampled_from(sorted(TABLES)))
    own, above = TABLES[kind]

    def drawn(table: Table | None, most: int) -> list[Row]:
        if table is None:
            return []
        return [
            tuple(value(table, index, draw) for index in range(len(table.columns)))
            for _ in range(draw(st.integers(1, most)))
        ]

    found = drawn(own, 5)
    # A group's rows come one after the other, and all say the same of it.
    return kind, [(f"c-{number // 2}", "Name", *row[2:]) for number, row in enumerate(found)], drawn(above, 3)


def same(written: str | None, cell: Any, kind: str) -> bool:
    if not written or cell is None:
        return not written and cell is None
    if kind == "date":
        day = xlrd.xldate_as_datetime(cell, 0) if isinstance(cell, float) else cell
        return str(day)[:10] == written
    if kind == "text":
        return bool(cell == written)
    return abs(Decimal(cell) - Decimal(written)) <= abs(Decimal(written)) * Decimal("1e-14")


def check(table: Table, written: list[Row], found: list[dict[str, Any]], *, exact: bool) -> None:
    assert len(found) == len(written)
    for row, cells in zip(written, found, strict=True):
        for column, text in zip(table.columns, row, strict=True):
            expected = text if exact or column.kind != "text" else shown(text)
            assert same(expected, cells[column.name], column.kind), (column.name, text, cells[column.name])


@settings(deadline=None, max_examples=80)
@given(tables(), st.sampled_from(FORMATS), st.sampled_from(LANGUAGES))
def test_any_row_of_any_table_comes_back(drawn: tuple[str, list[Row], list[Row]], name: str, language: str) -> None:
    kind, own, above = drawn
    made, rendered = made_of(name, document_of(kind, own, above, language), own, above)
    assert rendered.rows == len(own)
    check(made.document.table, own, rows(made), exact=name == "csv")
    if made.document.totals_table and name in ("xls", "xlsx"):
        check(made.document.totals_table, above, totals(made), exact=False)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_sheets_are_made_to_be_read(kind: str, language: str) -> None:
    document = document_of(kind, [], [], language)
    words = Words(language)
    book = openpyxl.load_workbook(io.BytesIO(made_of("xlsx", document, [], [])[0].raw))
    assert book[words("sheet.cover")]["A1"].value == words(f"kind.{kind}")
    old = xlrd.open_workbook(file_contents=made_of("xls", document, [], [])[0].raw, formatting_info=True)
    assert old.sheet_names() == book.sheetnames
    assert len({name.casefold() for name in book.sheetnames}) == len(book.sheetnames)
    for sheet in book.worksheets[1:]:
        assert (sheet.freeze_panes, sheet.print_title_rows) == ("A2", "$1:$1"), sheet.title
        assert sheet.page_setup.orientation == "landscape"
        assert not re.search(r"[\[\]:*?/\\]", sheet.title)
        same_sheet = old.sheet_by_name(sheet.title)
        assert (same_sheet.panes_are_frozen, same_sheet.horz_split_pos) == (1, 1)
        assert [cell.value for cell in sheet[1]] == same_sheet.row_values(0)
    titles = [name for name in old.name_obj_list if name.builtin and name.name == "Print_Titles"]
    assert [name.scope for name in titles] == list(range(1, old.nsheets))


def test_totals_are_an_outline_with_the_sum_above() -> None:
    above: list[Row] = [
        ("c-1", "Name", None, None, "EUR", "3", "5.00"), ("c-1", "Name", "HE", None, "EUR", "3", "5.00"),
        ("c-1", "Name", "HE", "he-user", "EUR", "3", "5.00"),
    ]  # fmt: skip
    document = document_of("customer-detail", [], above)
    sheet = openpyxl.load_workbook(io.BytesIO(made_of("xlsx", document, [], above)[0].raw))["Totals"]
    assert [sheet.row_dimensions[row].outlineLevel for row in (2, 3, 4)] == [0, 1, 2]
    assert sheet.sheet_properties.outlinePr.summaryBelow is False
    assert sheet["A2"].font.bold
    raw = made_of("xls", document, [], above)[0].raw
    old = xlrd.open_workbook(file_contents=raw, formatting_info=True).sheet_by_name("Totals")
    assert [old.rowinfo_map[row].outline_level for row in (1, 2, 3)] == [0, 1, 2]


def marked_line(**changed: str) -> Row:
    cells: dict[str, str | None] = dict.fromkeys(customer_detail.LINES.names, "x")
    cells |= {"quantity": "1", "sales_price": "1", "total": "1", "currency": "EUR", "kind": "line", "flags": None}
    return tuple({**cells, "corrects": None, **changed}.values())


def test_corrections_and_lines_that_are_not_billed_are_marked_with_their_reason() -> None:
    own = [
        marked_line(),
        marked_line(kind="correction", corrects="2026-11-19", flags="late_usage"),
        marked_line(flags="non_billable reason:trial"),
        marked_line(kind="adjustment", flags="reason:goodwill, agreed no_price"),
    ]
    remarks = [None, "Berichtigung vom 19.11.2026; Verspäteter Verbrauch", "Nicht berechnet (trial)",
               "Ausgleichsbuchung (goodwill, agreed no_price)"]  # fmt: skip
    document = document_of("customer-detail", own, [], "de")
    sheet = openpyxl.load_workbook(io.BytesIO(made_of("xlsx", document, own, [])[0].raw))["Zeilen"]
    assert [row[-1].value for row in sheet.iter_rows(2)] == remarks
    assert [row[1].font.italic for row in sheet.iter_rows(2)] == [False, True, True, True]
    raw = made_of("xls", document, own, [])[0].raw
    old = xlrd.open_workbook(file_contents=raw).sheet_by_name("Zeilen")
    assert [cell or None for cell in old.col_values(len(document.table.header), 1)] == remarks


@pytest.mark.parametrize("name", ["xls", "xlsx"])
def test_what_is_odd_on_the_cover_is_replaced_and_counted(name: str) -> None:
    document = document_of("customer-detail", [], [])
    made, rendered = made_of(name, document, [], [])
    assert rendered.replaced == 1
    if name == "xlsx":
        book = openpyxl.load_workbook(io.BytesIO(made.raw))
        assert book["Cover"]["B4"].value == "Müller & <Söhne>\ufffd (o-1) and all below"
        assert [cell.value for cell in book["Completeness"][3]] == [None, "news", "=1+1"]
        assert book["Completeness"]["C3"].data_type == "s"


def test_charts_say_no_data_by_having_no_figure() -> None:
    charts = (
        ChartSeries("EUR", ("HE", "TEL"), (Decimal("1.50"), Decimal(2)), (None, None)),
        ChartSeries("JPY", ("HE",), (Decimal(3),), (Decimal(4),)),
    )
    document = document_of("billing-summary", [], [], charts=charts)
    book = openpyxl.load_workbook(io.BytesIO(made_of("xlsx", document, [], [])[0].raw))
    sheet = book["Charts"]
    assert [[cell.value for cell in row[:3]] for row in sheet["A1:C3"]] == [
        ["Service, EUR", "This period", "Last period"], ["HE", 1.5, None], ["TEL", 2, None],
    ]  # fmt: skip
    assert sheet["B2"].number_format == "#,##0.00"
    charted = sheet._charts  # noqa: SLF001 - openpyxl has no other way to them
    assert len(charted) == 4


def test_every_text_is_there_in_every_language() -> None:
    catalogues = {language: Words(language)._texts for language in LANGUAGES}  # noqa: SLF001
    for language, catalogue in catalogues.items():
        assert set(catalogue) == set(catalogues["en"]), language
        assert all(catalogue.values()), language
        for key, text in catalogue.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", catalogues["en"][key])), (language, key)
    names = {name for own, above in TABLES.values() for table in (own, above) if table for name in table.header}
    assert {f"column.{name}" for name in names} <= set(catalogues["en"])
    shipped = files("report_builder.documents.languages").iterdir()
    assert {one.name for one in shipped if one.name.endswith(".json")} == {f"{one}.json" for one in LANGUAGES}


def test_dates_and_numbers_are_those_of_the_language() -> None:
    found = {one: (Words(one).day(DAY), Words(one).date_format, Words(one).number(1234567)) for one in LANGUAGES}
    assert found == {
        "de": ("21.11.2026", "dd.mm.yyyy", "1.234.567"),
        "en": ("2026-11-21", "yyyy-mm-dd", "1,234,567"),
        "es": ("21/11/2026", "d/m/yyyy", "1.234.567"),
        "fr": ("21/11/2026", "dd/mm/yyyy", "1\u202f234\u202f567"),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_documented_element_by_element(kind: str) -> None:
    raw = files("report_builder.schemas").joinpath(f"{kind}-1.xsd").read_bytes()
    tree = etree.fromstring(raw, etree.XMLParser(resolve_entities=False, no_network=True))
    assert tree.get("targetNamespace") == f"urn:tallyport:{kind}:1"
    for found in [*tree.iter(f"{XS}element"), *tree.iter(f"{XS}attribute")]:
        said = found.findtext(f"{XS}annotation/{XS}documentation")
        assert (said or "").strip(), found.get("name")
    table = TABLES[kind][0]
    declared = {str(found.get("name")) for found in tree.iter(f"{XS}attribute")}
    assert set(table.names[2:]) <= declared
