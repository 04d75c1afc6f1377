"""Whose value counts."""

from __future__ import annotations

import pytest
from tallyport.pricing.inheritance import Effective, PlanValues, effective

PLAN = PlanValues(
    own={"sales_price": "5.00", "stock_code": "S"},
    organisations={
        "customer": {"sales_price": "1.00"},
        "var": {"sales_price": "2.00", "cost_price": "0.50"},
        "provider": {"sales_price": "3.00"},
    },
    locations={"eu-west": {"sales_price": "4.00", "stock_code": "W"}},
)


@pytest.mark.parametrize(
    ("name", "chain", "location", "expected"),
    [
        ("sales_price", ["customer", "var", "provider"], "eu-west", Effective("1.00", "organisation:customer")),
        ("sales_price", ["other", "var", "provider"], "eu-west", Effective("2.00", "organisation:var")),
        ("sales_price", ["other", "elsewhere", "provider"], "eu-west", Effective("3.00", "organisation:provider")),
        ("sales_price", ["other"], "eu-west", Effective("4.00", "location:eu-west")),
        ("sales_price", ["other"], "us-east", Effective("5.00", "plan")),
        ("sales_price", ["other"], None, Effective("5.00", "plan")),
        ("cost_price", ["customer", "var"], None, Effective("0.50", "organisation:var")),
        ("stock_code", ["customer"], "eu-west", Effective("W", "location:eu-west")),
        ("nothing", ["customer", "var", "provider"], "eu-west", None),
    ],
)
def test_the_most_specific_value_counts(
    name: str, chain: list[str], location: str | None, expected: Effective | None
) -> None:
    assert effective(name, PLAN, chain, location) == expected


@pytest.mark.parametrize("text", ["", "free", "1e3", "NaN"])
def test_what_is_not_a_number_is_no_price(text: str) -> None:
    assert Effective(text, "plan").as_number() is None
