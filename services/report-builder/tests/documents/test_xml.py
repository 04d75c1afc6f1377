"""Reports as .xml."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest
from documents_bench import (
    ATTRIBUTES,
    NAMESPACE,
    SATURDAY,
    TWO_DAYS,
    Row,
    line,
    lines_of_xml,
    render,
    rows,
    shown,
    tree_of,
)
from hypothesis import given, settings
from report_builder.documents.model import DocumentError
from report_builder.documents.xml_document import SchemaCheck
from report_builder.reports.kinds.customer_detail import LINES


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


@settings(deadline=None, max_examples=60)
@given(rows())
def test_any_text_and_number_comes_back_from_xml(written: list[Row]) -> None:
    raw, _ = render("xml", {SATURDAY: written})
    for row, read in zip(written, lines_of_xml(raw), strict=True):
        for name, value in zip(LINES.names, row, strict=True):
            assert read.get(name, "") == shown(value), name


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
    check = SchemaCheck("customer-detail")
    check.feed(raw)
    with pytest.raises(DocumentError, match="schema"):
        check.close()


def test_sums_of_long_numbers_are_exact() -> None:
    long = "99999999999999999999999999999999.999999"
    _, rendered = render("xml", {SATURDAY: [line(total=long), line(object_id="o-2", total="0.000001")]})
    assert rendered.rows == 2
