"""The worked example of docs/units-and-prices.md, computed again from the tables on the page."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from bill import Bill

PAGE = Path(__file__).resolve().parents[2] / "docs" / "units-and-prices.md"
CHAPTER = PAGE.read_text(encoding="utf-8").partition("## Prices down the tree")[2].partition("\n## ")[0]
TREE = [("provider", None), ("east", "provider"), ("east-city", "east"), ("acme", "east-city")]
UNIT = {"id": "mb", "plan_type": "user_plan", "unit": "user", "quantity": {"counter": "MB"}}


def _bill(*more: dict[str, Any]) -> Bill:
    plan, *overrides = [
        yaml.safe_load(said) for said in re.findall(r"^ {4}.*?(\{plan:.*\}|\{id:.*\})$", CHAPTER, re.MULTILINE)
    ]
    service = {"id": "S", "name": "S", "plans": [{"name": "MB", **plan}], "overrides": [*overrides, *more],
               "billing_units": [UNIT]}  # fmt: skip
    entities: list[dict[str, Any]] = [
        {"kind": "organisation", "id": name, "name": name, "currency": "EUR"} | ({"parent": parent} if parent else {})
        for name, parent in TREE
    ]
    entities += [
        {"kind": "service_instance", "id": "i", "customer": "acme", "service": "S", "plan": "MB-PLAN"},
        {"kind": "subscription", "id": "u", "instance": "i", "plan": "MB-PLAN", "user": {"name": "u", "upn": "u"}},
    ]
    return Bill(catalog={"services": [service]}, usage={("MB", "u"): "1500"}, entities=entities)


def _rows(first: str) -> list[list[str]]:
    """The rows of the table that begins with the column ``first``."""
    table = CHAPTER[CHAPTER.index(f"| {first} |") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in table]


def test_the_line_is_what_the_page_says() -> None:
    line = _bill().all_lines()["u", "mb"]
    assert [str(line.price), str(line.total), line.level_prices, line.level_totals, "0.0010", str(line.cost)] == _rows(
        "`sales_price`"
    )[0]


def test_the_margins_are_what_the_page_says() -> None:
    line = _bill().all_lines()["u", "mb"]
    paid = [line.cost, *map(Decimal, line.level_totals.split()), line.total]
    rows = _rows("organisation")
    assert [Decimal(row[2]) for row in rows] == paid
    assert [Decimal(row[1]) * 1500 for row in rows] == paid
    for row, cost, sales in zip(rows, paid, paid[1:], strict=False):
        assert cost is not None
        assert sales is not None
        assert [Decimal(row[3]), Decimal(row[4])] == [sales, sales - cost]


@pytest.mark.parametrize("price", ["0.0030"])
def test_a_price_for_the_customer_is_the_resellers_margin(price: str) -> None:
    said = {"plan": "MB-PLAN", "organisation": "acme", "properties": {"sales_price": price}}
    line = _bill(said).all_lines()["u", "mb"]
    assert f'sales_price: "{price}"' in CHAPTER
    assert f"pays {line.total}, and east-city keeps {line.total - Decimal(line.level_totals.split()[-1])}." in CHAPTER
