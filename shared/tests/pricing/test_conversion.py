"""Converting what was measured into what is billed loses nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyport.pricing.conversion import DIMENSIONS, InexactConversionError, converted, factor

D = Decimal


@pytest.mark.parametrize(
    ("quantity", "from_unit", "to_unit", "result"),
    [
        ("2333.5", "MB", "GB", "2.3335"),
        ("2560", "MiB", "GiB", "2.5"),
        ("1", "GB", "MiB", "953.67431640625"),
        ("1", "GiB", "MB", "1073.741824"),
        ("1.5", "h", "min", "90"),
        ("1500", "pieces", "thousands", "1.5"),
    ],
)
def test_conversions(quantity: str, from_unit: str, to_unit: str, result: str) -> None:
    assert converted(D(quantity), factor(from_unit, to_unit)) == D(result)


@pytest.mark.parametrize(
    ("from_unit", "to_unit", "words"),
    [("min", "h", "no exact factor"), ("MB", "min", "same thing"), ("MB", "parsec", "'parsec' is not a unit")],
)
def test_what_is_not_exact_is_refused(from_unit: str, to_unit: str, words: str) -> None:
    with pytest.raises(InexactConversionError, match=words):
        factor(from_unit, to_unit)


@given(st.sampled_from(sorted(DIMENSIONS[0])), st.sampled_from(sorted(DIMENSIONS[0])), st.decimals(0, 10**12, places=3))
def test_bytes_convert_there_and_back(one: str, other: str, quantity: D) -> None:
    assert converted(converted(quantity, factor(one, other)), factor(other, one)) == quantity
