"""What a quantity costs by each price model, as a price list would say it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tallyport.contracts.pricing import FlatPrice, GraduatedPrice, IncludedPrice, PackagePrice, VolumePrice
from tallyport.pricing.inheritance import Effective
from tallyport.pricing.models import (
    NO_LIMITS,
    Charge,
    Flat,
    Graduated,
    Included,
    Limits,
    Package,
    Rule,
    Tier,
    Volume,
    charge,
)
from tallyport.pricing.resolving import priced

D = Decimal

FLAT = Flat(D("0.50"))
INCLUDED = Included(D(100), D("0.50"))
UNLIMITED = Included(None, D("0.50"))
TIERS = (Tier(D(100), D("1.00")), Tier(D(500), D("0.80")), Tier(None, D("0.50")))
GRADUATED, VOLUME = Graduated(TIERS), Volume(TIERS)
PACKAGE = Package(D(100), D("4.00"))
_UP_TO_100, _REST = {"up_to_inclusive": "100", "price": "1"}, {"price": "1"}
FROM_5, TO_90 = Limits(minimum=D(5)), Limits(maximum=D(90))


@pytest.mark.parametrize(
    ("rule", "quantity", "limits", "amount", "limited_by"),
    [
        # 0.50 each
        (FLAT, "3", NO_LIMITS, "1.50", ""),
        (FLAT, "-3", NO_LIMITS, "-1.50", ""),
        (FLAT, "3", FROM_5, "5", "minimum"),
        (FLAT, "10", FROM_5, "5.00", ""),
        (FLAT, "200", TO_90, "90", "maximum"),
        (FLAT, "0", FROM_5, "0", ""),
        # 100 are included, 0.50 for each above
        (INCLUDED, "99", NO_LIMITS, "0", ""),
        (INCLUDED, "100", NO_LIMITS, "0", ""),
        (INCLUDED, "101", NO_LIMITS, "0.50", ""),
        (INCLUDED, "50", FROM_5, "5", "minimum"),
        (UNLIMITED, "1000000", NO_LIMITS, "0", ""),
        # 1.00 for the first 100, 0.80 up to 500, 0.50 above; 100 is still in the first tier
        (GRADUATED, "100", NO_LIMITS, "100", ""),
        (GRADUATED, "101", NO_LIMITS, "100.80", ""),
        (GRADUATED, "500", NO_LIMITS, "420", ""),
        (GRADUATED, "600", NO_LIMITS, "470", ""),
        (GRADUATED, "100", TO_90, "90", "maximum"),
        # the same list, but all at the price of the tier that is reached
        (VOLUME, "100", NO_LIMITS, "100", ""),
        (VOLUME, "101", NO_LIMITS, "80.80", ""),
        (VOLUME, "500", NO_LIMITS, "400", ""),
        (VOLUME, "500.001", NO_LIMITS, "250.0005", ""),
        # 4.00 for each started 100
        (PACKAGE, "0", NO_LIMITS, "0", ""),
        (PACKAGE, "0.001", NO_LIMITS, "4", ""),
        (PACKAGE, "100", NO_LIMITS, "4", ""),
        (PACKAGE, "100.00000000000000000000000000000001", NO_LIMITS, "8", ""),
        # where they contradict each other, the minimum is stronger
        (FLAT, "3", Limits(D(5), D(2)), "5", "minimum"),
        (FLAT, "6", Limits(D(5), D(2)), "5", "minimum"),
    ],
)
def test_what_a_quantity_costs(rule: Rule, quantity: str, limits: Limits, amount: str, limited_by: str) -> None:
    found = charge(rule, D(quantity), limits)
    assert (found.amount, found.limited_by) == (D(amount), limited_by)


@given(st.decimals(min_value=0, max_value=10**9, places=6), st.decimals(min_value=0, max_value=10**6, places=6))
def test_more_never_costs_less_by_graduated_tiers(quantity: D, more: D) -> None:
    assert charge(GRADUATED, quantity + more).amount >= charge(GRADUATED, quantity).amount


@pytest.mark.parametrize(
    ("tiers", "words"),
    [
        (
            [_UP_TO_100, _UP_TO_100, _REST],
            "overlap",
        ),
        (
            [_UP_TO_100, {"up_to_inclusive": "50", "price": "1"}, _REST],
            "overlap",
        ),
        ([{"price": "1"}, {"price": "1"}], "tier 1 has no bound"),
        ([{"up_to_inclusive": "100", "price": "1"}], "leave its bound out"),
        ([{"up_to_inclusive": "many", "price": "1"}, {"price": "1"}], "plain decimal"),
        ([{"price": "1,5"}], "neither a plain decimal number nor the name"),
        ([], "at least 1"),
    ],
)
def test_tiers_lie_side_by_side(tiers: list[dict[str, str]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        GraduatedPrice.model_validate({"model": "graduated", "tiers": tiers})


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"minimum": "10", "maximum": "9"}, "greater than the maximum"),
        ({"minimum": "-1"}, "negative"),
        ({"maximum": "10 EUR"}, "pattern"),
    ],
)
def test_limits_are_amounts_that_fit(model: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        FlatPrice.model_validate(model)


@pytest.mark.parametrize(
    ("model", "says", "costs_150"),
    [
        (FlatPrice(), {"p": "2"}, "300"),
        (FlatPrice(), {"p": "dear"}, None),
        (IncludedPrice(model="included", included="gift"), {"p": "2", "gift": "100"}, "100"),
        # An allowance that is no number has no end; one that nobody says is a gap in the catalogue.
        (IncludedPrice(model="included", included="gift"), {"p": "2", "gift": "Unlimited"}, "0"),
        (IncludedPrice(model="included", included="gift"), {"p": "2", "gift": ""}, "0"),
        (IncludedPrice(model="included", included="gift"), {"p": "2", "gift": "0"}, "300"),
        (IncludedPrice(model="included", included="gift"), {"p": "2"}, None),
        (PackagePrice(model="package", size="bundle"), {"p": "2", "bundle": "100"}, "4"),
        (PackagePrice(model="package", size="bundle"), {"p": "2", "bundle": "0"}, None),
        (
            VolumePrice.model_validate(
                {"model": "volume", "tiers": [{"up_to_inclusive": "149", "price": "9"}, {"price": "big"}]}
            ),
            {"big": "3"},
            "450",
        ),
    ],
)
def test_amounts_are_numbers_or_plan_properties(
    model: FlatPrice | IncludedPrice | PackagePrice | VolumePrice, says: dict[str, str], costs_150: str | None
) -> None:
    found = priced(model, "p", lambda name: Effective(says[name], "plan") if name in says else None)
    assert (None if found is None else found.charge(D(150))) == (None if costs_150 is None else Charge(D(costs_150)))
