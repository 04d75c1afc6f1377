"""Sheets opened by LibreOffice, which is what many an accountant opens them with. Runs where soffice is installed."""

from __future__ import annotations

import io
import shutil
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from documents_bench import Row
from report_builder.documents.model import ChartSeries
from report_builder.reports.model import KINDS
from tables_bench import TABLES, document_of, made_of

SOFFICE = shutil.which("soffice")
pytestmark = pytest.mark.skipif(SOFFICE is None, reason="LibreOffice (soffice) is not installed")
SAMPLES = {"date": "2026-11-19", "count": "12", "quantity": "1024.50", "money": "1234.56"}
TEXTS = {"currency": "EUR", "kind": "correction", "customer_id": "c-1", "customer_name": "Jörg & <Söhne> \U0001f600"}


def sample(kind: str, which: int) -> list[Row]:
    table = TABLES[kind][which]
    if table is None:
        return []
    full = tuple(TEXTS.get(one.name, SAMPLES.get(one.kind, "=1+1")) for one in table.columns)
    sparse = tuple(None if one.optional or one.name in table.outline else text
                   for one, text in zip(table.columns, full, strict=True))  # fmt: skip
    return [sparse, full]


@pytest.mark.parametrize("name", ["xls", "xlsx"])
@pytest.mark.parametrize("kind", KINDS)
def test_libreoffice_reads_every_cell(kind: str, name: str, tmp_path: Path) -> None:
    own, above = sample(kind, 0), sample(kind, 1)
    charts = (ChartSeries("EUR", ("HE", "TEL"), (Decimal(3), Decimal(4)), (Decimal(1), None)),)
    document = document_of(kind, own, above, charts=charts if kind == "billing-summary" else ())
    made, _ = made_of(name, document, own, above)
    file = tmp_path / f"report.{name}"
    file.write_bytes(made.raw)
    assert SOFFICE is not None
    subprocess.run(
        [SOFFICE, f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}", "--headless", "--convert-to",
         "xlsx:Calc MS Excel 2007 XML", "--outdir", str(tmp_path / "out"), str(file)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    book = openpyxl.load_workbook(tmp_path / "out" / "report.xlsx")
    if name == "xlsx":
        ours = openpyxl.load_workbook(io.BytesIO(made.raw))
        assert book.sheetnames == ours.sheetnames
        assert len(book["Cover"]["A"]) == len(ours["Cover"]["A"])
        assert sum(len(sheet._charts) for sheet in book.worksheets) == 2 * len(document.charts)  # noqa: SLF001
    for table, rows in ((document.table, own), (document.totals_table, above)):
        if table is None:
            continue
        sheet = book["Summary" if table.name == "summary" else table.name.capitalize()]
        assert sheet.print_title_rows == "$1:$1"
        assert sheet.page_setup.orientation == "landscape"
        # Without a window LibreOffice takes frozen panes over from .xls only, whoever wrote the .xlsx.
        assert name == "xlsx" or sheet.freeze_panes == "A2"
        first = 1 if table.by_day else 0
        for row, cells in zip(rows, sheet.iter_rows(2, values_only=True), strict=True):
            for column, text, cell in zip(table.columns, row, cells[first:], strict=False):
                if column.kind == "text" or text is None:
                    assert cell == text, column.name
                elif column.kind == "date":
                    assert cell.date() == date.fromisoformat(text)
                else:
                    assert Decimal(str(cell)) == Decimal(text), column.name
        if table.outline:
            depths = [sheet.row_dimensions[row].outlineLevel for row in (2, 3)]
            assert depths == [0, len(table.outline)]
