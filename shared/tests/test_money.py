"""Money: what is a number, how it is rounded, how it is printed."""

from __future__ import annotations

import ast
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyport.money import NotANumberError, line_total, parse_decimal, plain, round_half_away

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("text", ["0", "12.50", "-3", "+4.", ".5", "0" * 38])
def test_plain_decimals_are_numbers(text: str) -> None:
    assert parse_decimal(text) == Decimal(text)


@pytest.mark.parametrize(
    "text", ["", "NaN", "Infinity", "1e3", "0x10", "1_000", "1,5", " 1", "1\n", "\u0661", "1.2.3", "--1", "1" * 41]
)
def test_everything_else_is_not(text: str) -> None:
    with pytest.raises(NotANumberError, match="plain decimal"):
        parse_decimal(text)


@pytest.mark.parametrize(
    ("quantity", "price", "currency", "total"),
    [
        ("1", "10.00", "EUR", "10.00"),
        ("2333.5", "0.0015", "EUR", "3.50"),
        ("1", "0.005", "EUR", "0.01"),
        ("-1", "0.005", "EUR", "-0.01"),
        ("1", "0.0049999", "EUR", "0.00"),
        ("3", "0.5", "JPY", "2"),
        ("1", "0.0005", "KWD", "0.001"),
        ("0", "99.99", "USD", "0.00"),
    ],
)
def test_a_line_is_rounded_half_away_from_zero_to_the_minor_unit(
    quantity: str, price: str, currency: str, total: str
) -> None:
    assert plain(line_total(Decimal(quantity), Decimal(price), currency)) == total


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=8))
def test_printing_and_reading_is_lossless_and_never_an_exponent(value: Decimal) -> None:
    text = plain(value)
    assert "e" not in text.lower()
    assert parse_decimal(text) == value


@given(st.integers(min_value=-(10**15), max_value=10**15), st.integers(min_value=0, max_value=4))
def test_rounding_moves_by_at_most_half_a_unit(units: int, digits: int) -> None:
    value = Decimal(units).scaleb(-6)
    moved = abs(round_half_away(value, digits) - value)
    assert moved <= Decimal(5).scaleb(-digits - 1)


def test_no_module_that_handles_money_makes_a_float() -> None:
    """A literal like 0.1 or a call of float() near money is how a cent gets lost."""
    money = [
        *ROOT.glob("shared/src/tallyport/pricing/*.py"),
        *ROOT.glob("services/billing-engine/src/billing_engine/*/model.py"),
        *ROOT.glob("services/notifier/src/notifier/prices/*.py"),
        ROOT / "shared/src/tallyport/money.py",
    ]
    assert len(money) > 5
    for path in money:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{path}:{node.lineno}"
            assert not (isinstance(node, ast.Name) and node.id == "float"), f"{path}:{node.lineno}"
