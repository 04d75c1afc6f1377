"""Reports made in the test's own process from a real warehouse, and every format read back as rows."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import openpyxl
import python_calamine
import xlrd
from lxml import etree
from report_builder.documents.formats import renderer
from report_builder.documents.model import Document, Table
from report_builder.documents.words import Words
from report_builder.documents.xml_document import schema
from report_builder.reports.compose import compose, pour
from report_builder.reports.model import Facts, PinnedBatch, Wanted, missing_dates, reach_back
from report_builder.warehouse import reading

Cell = str | Decimal | date | None


@dataclass(frozen=True)
class Made:
    """A finished report."""

    name: str
    raw: bytes
    document: Document
    completeness: Facts
    replaced: int


async def make(  # noqa: PLR0917 - a request has that many words
    pool: asyncpg.Pool[asyncpg.Record],
    kind: str,
    name: str,
    days: tuple[date, date],
    organisation: str | None = None,
    language: str = "en",
) -> Made:
    """What the rendering process does, without the process."""
    wanted = Wanted(f"{kind}-{name}", kind, name, days[0], days[1], organisation, language)  # type: ignore[arg-type]
    file = io.BytesIO()
    async with pool.acquire() as connection:
        session: Any = connection
        found = await reading.current_batches(session, reach_back(wanted), wanted.to_date)
        pinned = [PinnedBatch(one.batch_date, one.revision, one.sha256 or "") for one in found]
        missing = missing_dates(wanted, {one.batch_date for one in found})
        facts: Facts = {"dates_missing": [str(day) for day in missing]}
        for one in found:
            facts |= {f"{one.batch_date}.{fact}": value for fact, value in one.completeness.items()}
        async with compose(session, wanted, pinned, missing, facts) as composed:
            writer = renderer(name, file, composed.document)
            rendered = await pour(session, composed, writer, lambda _: None)
    return Made(name, file.getvalue(), composed.document, composed.completeness, rendered.replaced)


def rows(made: Made) -> list[dict[str, Cell]]:
    """The rows of the report's own table, by the columns' names; an amount is a number whatever the format."""
    return [dict(zip(made.document.table.header, row, strict=False)) for row in _rows(made, made.document.table)]


def totals(made: Made) -> list[dict[str, Cell]]:
    """The rows of the sheet of totals."""
    table = made.document.totals_table
    assert table is not None
    return [dict(zip(table.header, row, strict=False)) for row in _rows(made, table)]


def _rows(made: Made, table: Table) -> Iterator[list[Cell]]:
    read = {"csv": _csv, "xml": _xml, "xlsx": _xlsx, "xls": _xls}[made.name]
    numbers = {column.name for column in table.columns if column.kind in ("count", "quantity", "money")}
    for row in read(made, table):
        yield [
            _number(cell) if name in numbers else cell or None for name, cell in zip(table.header, row, strict=False)
        ]


def _number(cell: Any) -> Decimal | None:
    return None if cell in (None, "") else Decimal(str(cell))


def _csv(made: Made, table: Table) -> list[list[str]]:
    found = list(csv.reader(io.StringIO(made.raw.decode(), newline="")))
    assert tuple(found[0]) == table.header
    return found[1:]


def tree_of(made: Made) -> etree._Element:
    """The .xml, checked against the shipped schema."""
    tree = etree.fromstring(made.raw, etree.XMLParser(resolve_entities=False, no_network=True))
    schema(made.document.kind).assertValid(tree)
    return tree


def _xml(made: Made, table: Table) -> Iterator[list[str]]:
    for element in tree_of(made).iter(f"{{*}}{table.element}"):
        group = element.getparent()
        assert group is not None
        parent = group.getparent()
        outer = {"customer_id": group.get("id"), "customer_name": group.get("name")}
        if parent is not None:
            outer["batch_date"] = parent.get("date")
        yield [str(outer.get(name) or element.get(name) or "") for name in table.header]


def sheet_names(made: Made, table: Table) -> str:
    """What the table's sheets are called."""
    return Words(made.document.language)(f"sheet.{table.name}")


def _xlsx(made: Made, table: Table) -> Iterator[list[Any]]:
    name = sheet_names(made, table)
    book = openpyxl.load_workbook(io.BytesIO(made.raw))
    read = [list(row) for row in book[name].iter_rows(2, values_only=True)]
    # A second library reads the same, or one of them is lenient.
    again = python_calamine.load_workbook(io.BytesIO(made.raw)).get_sheet_by_name(name).to_python()[1:]
    assert [[_same(cell) for cell in row] for row in read] == [[_same(cell) for cell in row] for row in again]
    return iter(read)


def _xls(made: Made, table: Table) -> Iterator[list[Any]]:
    name = sheet_names(made, table)
    sheet = xlrd.open_workbook(file_contents=made.raw).sheet_by_name(name)
    read = [sheet.row_values(index) for index in range(1, sheet.nrows)]
    again = python_calamine.load_workbook(io.BytesIO(made.raw)).get_sheet_by_name(name).to_python()[1:]
    for row, other in zip(read, again, strict=True):
        for one, two in zip(row, other, strict=True):
            assert isinstance(two, date) or _same(one) == _same(two)
    return iter(read)


def _same(cell: Any) -> Any:
    if cell in (None, ""):
        return None
    if isinstance(cell, datetime):
        return cell.date()
    return Decimal(str(cell)) if isinstance(cell, int | float) else cell


def everything_in(made: Made) -> bytes:
    """All bytes of a report, unpacked."""
    if made.name != "xlsx":
        return made.raw
    with zipfile.ZipFile(io.BytesIO(made.raw)) as parts:
        return b"\n".join(parts.read(name) for name in parts.namelist())
