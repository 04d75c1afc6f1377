from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
import xlrd
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from report_builder.documents.formats import FORMATS, renderer
from report_builder.documents.model import (
    COLUMNS,
    BatchFacts,
    CustomerTotal,
    Document,
    DocumentError,
    Rendered,
    Scope,
    Sums,
    Total,
)
from report_builder.documents.xls_document import XlsDocument
from report_builder.documents.xlsx_document import XlsxDocument
from report_builder.documents.xml_document import NAMESPACE, SchemaCheck, schema

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
Row = tuple[str | None, ...]
Days = dict[date, list[Row]]


def line(customer: str = "c-1", object_id: str = "o-1", **changed: str | None) -> Row:
    values = {
        "customer_id": customer, "customer_name": f"Name of {customer}", "service": "HE", "plan_type": "user_plan",
        "unit": "he-user", "object_id": object_id, "description": "Jörg Ünsal", "name": "Gold", "stock_code": "HE-G",
        "unit_code": "HE-MB", "quantity": "1024.5", "sales_price": "0.0015", "total": "1.54", "currency": "EUR",
        "kind": "line", "flags": "",
    }  # fmt: skip
    return tuple({**values, **changed}.values())


def as_text(rows: list[Row]) -> bytes:
    escapes = str.maketrans(
        {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    )
    return "".join("\t".join((value or "").translate(escapes) for value in row) + "\n" for row in rows).encode()


def as_csv(rows: list[Row]) -> bytes:
    def field(value: str | None) -> str:
        if value and any(mark in value for mark in ',"\r\n'):
            return '"' + value.replace('"', '""') + '"'
        return value or ""

    return "".join(",".join(map(field, row)) + "\n" for row in rows).encode()


def facts(days: Days, scope: Scope | None = None, missing: tuple[date, ...] = ()) -> Document:
    sums = Sums()
    for rows in days.values():
        for row in rows:
            sums.add(str(row[13]), [str(row[12])])
    return Document(
        from_date=min(days, default=SATURDAY),
        to_date=max(days, default=SATURDAY),
        scope=scope,
        batches=tuple(BatchFacts(day, 1, "ab" * 32, len(rows)) for day, rows in days.items()),
        missing=missing,
        totals=sums.totals(),
        customer_totals=len(customer_totals(days)),
        completeness=(("sources missing", "none"),),
    )


def customer_totals(days: Days) -> list[CustomerTotal]:
    sums: dict[tuple[str, str], Sums] = defaultdict(Sums)
    for rows in days.values():
        for row in rows:
            sums[str(row[0]), row[1] or ""].add(str(row[13]), [str(row[12])])
    return [CustomerTotal(*key, total) for key in sorted(sums) for total in sums[key].totals()]


def render(name: str, days: Days, document: Document | None = None, make: Any = None) -> tuple[bytes, Rendered]:
    file = io.BytesIO()
    document = document or facts(days)
    writer = make(file, document) if make else renderer(name, file, document)
    sums = [
        (
            total.customer_id,
            total.customer_name,
            total.total.currency,
            str(total.total.lines),
            f"{total.total.amount:f}",
        )
        for total in customer_totals(days)
    ]
    writer.customer_totals(as_text(sums).decode())
    for batch, rows in zip(document.batches, days.values(), strict=True):
        writer.begin_batch(batch)
        for start in range(0, len(rows), 3):
            block = rows[start : start + 3]
            writer.feed(as_csv(block) if writer.copy_format == "csv" else as_text(block))
    rendered = writer.close()
    return file.getvalue(), rendered


def rows_of_csv(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode(), newline="")))


def rows_of_xlsx(raw: bytes, prefix: str = "Lines") -> list[tuple[Any, ...]]:
    book = openpyxl.load_workbook(io.BytesIO(raw))
    return [
        row
        for sheet in book.worksheets
        if sheet.title.startswith(prefix)
        for row in sheet.iter_rows(2, values_only=True)
    ]


def rows_of_xls(raw: bytes, prefix: str = "Lines") -> list[list[Any]]:
    book = xlrd.open_workbook(file_contents=raw)
    return [
        sheet.row_values(index)
        for sheet in book.sheets()
        if sheet.name.startswith(prefix)
        for index in range(1, sheet.nrows)
    ]


def tree_of(raw: bytes) -> etree._Element:
    tree = etree.fromstring(raw, etree.XMLParser(resolve_entities=False, no_network=True))
    schema().assertValid(tree)
    return tree


def lines_of_xml(raw: bytes) -> list[dict[str, str]]:
    return [
        {"customer_id": str(customer.get("id")), "customer_name": str(customer.get("name")), **dict(element.attrib)}
        for customer in tree_of(raw).iter(f"{{{NAMESPACE}}}customer")
        for element in customer.iter(f"{{{NAMESPACE}}}line")
    ]


ATTRIBUTES = f'xmlns="{NAMESPACE}" version="1.0" from="2026-11-21" to="2026-11-21" lines="0"'
TWO_DAYS: Days = {
    FRIDAY: [line(), line("c-2", total="3.00")],
    SATURDAY: [
        line(),
        line("c-1", "o-2", quantity="0", sales_price=None, total="0.00", flags="no_data no_price"),
        line("c-2", currency="JPY", total="12"),
    ],
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_request_gives_the_same_bytes(name: str) -> None:
    assert render(name, TWO_DAYS)[0] == render(name, TWO_DAYS)[0]


def test_csv_is_the_documented_text() -> None:
    raw, rendered = render("csv", {SATURDAY: [line(), line("c-2", sales_price=None, flags="no_price")]})
    assert raw.decode() == (
        "batch_date,customer_id,customer_name,service,plan_type,unit,object_id,description,name,stock_code,unit_code,"
        "quantity,sales_price,total,currency,kind,flags\r\n"
        "2026-11-21,c-1,Name of c-1,HE,user_plan,he-user,o-1,Jörg Ünsal,Gold,HE-G,HE-MB,1024.5,0.0015,1.54,EUR,"
        "line,\r\n"
        "2026-11-21,c-2,Name of c-2,HE,user_plan,he-user,o-1,Jörg Ünsal,Gold,HE-G,HE-MB,1024.5,,1.54,EUR,line,"
        "no_price\r\n"
    )
    assert rendered == Rendered(2, 0)


def test_the_totals_add_up_in_xml() -> None:
    tree = tree_of(render("xml", TWO_DAYS)[0])
    name = f"{{{NAMESPACE}}}"
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for customer in tree.iter(f"{name}customer"):
        own: dict[str, Decimal] = defaultdict(Decimal)
        for element in customer.iter(f"{name}line"):
            own[str(element.get("currency"))] += Decimal(str(element.get("total")))
        assert own == {str(t.get("currency")): Decimal(str(t.get("amount"))) for t in customer.iter(f"{name}total")}
        for currency, amount in own.items():
            amounts[currency] += amount
    said = {str(t.get("currency")): Decimal(str(t.get("amount"))) for t in tree.findall(f"{name}total")}
    assert amounts == said == {"EUR": Decimal("6.08"), "JPY": Decimal(12)}


@pytest.mark.parametrize(("name", "read"), [("xlsx", rows_of_xlsx), ("xls", rows_of_xls)])
def test_the_totals_add_up_in_sheets(name: str, read: Any) -> None:
    raw, _ = render(name, TWO_DAYS)
    sums: dict[tuple[Any, Any], Decimal] = defaultdict(Decimal)
    for row in read(raw):
        sums[row[1], row[14]] += Decimal(str(row[13]))
    totals = read(raw, "Totals")
    assert {(row[0], row[2]): Decimal(str(row[4])) for row in totals[:3]} == sums
    assert [(row[0], row[2], row[3], Decimal(str(row[4]))) for row in totals[3:]] == [
        ("All customers", "EUR", 4, Decimal("6.08")),
        ("All customers", "JPY", 1, Decimal(12)),
    ]


def test_cells_have_types_in_xlsx() -> None:
    book = openpyxl.load_workbook(io.BytesIO(render("xlsx", {SATURDAY: [line(name="=1+1", sales_price=None)]})[0]))
    assert book.sheetnames == ["Cover", "Totals", "Lines"]
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
    assert book.sheet_names() == ["Cover", "Totals", "Lines"]
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
    assert [sheet.nrows for sheet in book.sheets()[2:]] == [65_536, 4_466]
    assert book.sheet_by_name("Lines 2").cell_value(4_465, 6) == "o-069999"


def test_what_xml_forbids_is_replaced_visibly_and_counted() -> None:
    text = "a\x01b\x1f\ufffe\r\n\tc"
    expected = "a\ufffdb\ufffd\ufffd\r\n\tc"
    days = {SATURDAY: [line(description=text)]}
    for name, read in (("xlsx", rows_of_xlsx), ("xls", rows_of_xls)):
        raw, rendered = render(name, days)
        assert (read(raw)[0][7], rendered.replaced) == (expected, 3), name
    raw, rendered = render("xml", days)
    assert (lines_of_xml(raw)[0]["description"], rendered.replaced) == (expected, 3)
    assert rows_of_csv(render("csv", days)[0])[1][7] == text


anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
tricky = st.sampled_from(
    ["=1+1", "-2+3", "@SUM(A1)", "\r", "\n", '"', "a,b", "\\N", "\\.", "]]>", "&amp;", "<x>", " x ", "\t", "\\n", "''"]
)
texts = st.one_of(anything, tricky)
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20)


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    return [
        line(
            f"c-{number // 2}",
            description=draw(texts),
            name=draw(texts),
            stock_code=draw(texts),
            flags=draw(texts),
            quantity=f"{draw(numbers):f}",
            sales_price=draw(st.one_of(st.none(), numbers.map("{:f}".format))),
            total=f"{draw(numbers):f}",
        )
        for number in range(draw(st.integers(1, 7)))
    ]


def shown(text: str | None) -> str:
    forbidden = {*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0xFFFE, 0xFFFF}
    return "".join("\ufffd" if ord(character) in forbidden else character for character in text or "")


@settings(deadline=None, max_examples=60)
@given(rows())
def test_any_text_and_number_comes_back_from_csv(written: list[Row]) -> None:
    raw, _ = render("csv", {SATURDAY: written})
    assert [tuple(row[1:]) for row in rows_of_csv(raw)[1:]] == [tuple(value or "" for value in row) for row in written]


@settings(deadline=None, max_examples=60)
@given(rows())
def test_any_text_and_number_comes_back_from_xml(written: list[Row]) -> None:
    raw, _ = render("xml", {SATURDAY: written})
    for row, read in zip(written, lines_of_xml(raw), strict=True):
        for name, value in zip(COLUMNS[1:], row, strict=True):
            assert read.get(name, "") == shown(value), name


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


@pytest.mark.parametrize("name", ["xlsx", "xls", "xml", "csv"])
def test_rows_that_do_not_add_up_end_the_document(name: str) -> None:
    document = facts({SATURDAY: [line()]})
    wrong = replace(
        document, totals=(Total("EUR", 2, Decimal("1.54")),), batches=(replace(document.batches[0], lines=2),)
    )
    with pytest.raises(DocumentError):
        render(name, {SATURDAY: [line()]}, wrong)


def test_scope_and_missing_dates_are_said() -> None:
    document = facts({SATURDAY: [line()]}, Scope("var-1", "Reseller & Söhne"), (FRIDAY,))
    tree = tree_of(render("xml", {SATURDAY: [line()]}, document)[0])
    assert tree.find(f"{{{NAMESPACE}}}scope").get("name") == "Reseller & Söhne"  # type: ignore[union-attr]
    assert tree.find(f"{{{NAMESPACE}}}missing").get("date") == "2026-11-20"  # type: ignore[union-attr]
    cover = [row[1] for row in rows_of_xls(render("xls", {SATURDAY: [line()]}, document)[0], "Cover")]
    assert "Reseller & Söhne (var-1) and all below" in cover
    assert "1 dates are missing" in cover


@pytest.mark.parametrize(
    "forbidden", [{"kind": "guess"}, {"quantity": "1e3"}, {"currency": "EURO"}], ids=["kind", "quantity", "currency"]
)
def test_a_line_that_the_schema_forbids_ends_the_document(forbidden: dict[str, str]) -> None:
    with pytest.raises(DocumentError, match="schema"):
        render("xml", {SATURDAY: [line(), line(object_id="o-2", **forbidden)]})


@pytest.mark.parametrize(
    "raw",
    [
        b"<report",
        b"<report/>",
        f"<report {ATTRIBUTES}><day/></report>".encode(),
        f"<report {ATTRIBUTES}>".encode(),
    ],
    ids=["cut off", "another namespace", "an attribute missing", "not closed"],
)
def test_the_schema_check_finds_what_is_wrong(raw: bytes) -> None:
    check = SchemaCheck()
    check.feed(raw)
    with pytest.raises(DocumentError, match="schema"):
        check.close()


def test_sums_of_long_numbers_are_exact() -> None:
    long = "99999999999999999999999999999999.999999"
    _, rendered = render("xml", {SATURDAY: [line(total=long), line(object_id="o-2", total="0.000001")]})
    assert rendered.rows == 2
