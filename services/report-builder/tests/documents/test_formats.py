"""What holds for every format."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from documents_bench import (
    FRIDAY,
    NAMESPACE,
    SATURDAY,
    TWO_DAYS,
    facts,
    line,
    lines_of_xml,
    render,
    rows_of_csv,
    rows_of_xls,
    rows_of_xlsx,
    tree_of,
)
from report_builder.documents.formats import FORMATS
from report_builder.documents.model import (
    DocumentError,
    Scope,
    Total,
)


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_request_gives_the_same_bytes(name: str) -> None:
    assert render(name, TWO_DAYS)[0] == render(name, TWO_DAYS)[0]


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


@pytest.mark.parametrize("name", ["xlsx", "xls", "xml", "csv"])
def test_rows_that_do_not_add_up_end_the_document(name: str) -> None:
    document = facts({SATURDAY: [line()]})
    wrong = replace(document, totals=(Total("EUR", 2, (Decimal("1.54"),)),), rows=2)
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
