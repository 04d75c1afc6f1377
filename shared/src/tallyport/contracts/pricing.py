"""How a billing unit prices a quantity: the price models, as the catalogue says them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tallyport.contracts.base import Contract
from tallyport.money import NotANumberError, parse_decimal

PRICING_TYPE: Final = "tallyport.catalog.changes.v1"
MAX_TIERS: Final = 100


def is_number(text: str) -> bool:
    """Whether an amount is a number itself, and not the name of the plan property that holds it."""
    try:
        parse_decimal(text)
    except NotANumberError:
        return False
    return True


def _number_or_property(text: str) -> str:
    if not is_number(text) and not (text[0].isalpha() or text[0] == "_"):
        raise ValueError(f"{text!r} is neither a plain decimal number nor the name of a plan property")
    return text


def _not_negative(text: str) -> str:
    if is_number(text) and parse_decimal(text) < 0:
        raise ValueError(f"{text} is negative")
    return text


def _positive(text: str) -> str:
    if is_number(text) and parse_decimal(text) <= 0:
        raise ValueError(f"{text} is not greater than 0")
    return text


def _number(text: str) -> str:
    parse_decimal(text)
    return text


_Word = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f]+$")]
Amount = Annotated[_Word, AfterValidator(_number_or_property)]
"""A number, or the plan property that holds it: a property can be overridden at every level of the tree."""

AllowanceAmount = Annotated[Amount, AfterValidator(_not_negative)]
PositiveAmount = Annotated[Amount, AfterValidator(_positive)]
Bound = Annotated[_Word, AfterValidator(_number), AfterValidator(_positive)]


class _Model(Contract):
    TYPE: ClassVar[str] = PRICING_TYPE

    minimum: AllowanceAmount | None = None
    maximum: AllowanceAmount | None = None

    @model_validator(mode="after")
    def _minimum_below_maximum(self) -> Self:
        low, high = self.minimum, self.maximum
        both = low is not None and high is not None and is_number(low) and is_number(high)
        if both and parse_decimal(str(low)) > parse_decimal(str(high)):
            raise ValueError(f"the minimum {low} is greater than the maximum {high}")
        return self


class FlatPrice(_Model):
    """The quantity times the unit's price."""

    model: Literal["flat"] = "flat"


class IncludedPrice(_Model):
    """So many are included; those above cost the unit's price each."""

    model: Literal["included"]
    included: AllowanceAmount


class PackagePrice(_Model):
    """The unit's price for each started package of ``size``."""

    model: Literal["package"]
    size: PositiveAmount


class PriceTier(Contract):
    """From above the bound of the tier before up to this bound, itself included; the last tier has none."""

    TYPE: ClassVar[str] = PRICING_TYPE

    up_to_inclusive: Bound | None = None
    price: Amount


class _Tiered(_Model):
    tiers: Annotated[list[PriceTier], Field(min_length=1, max_length=MAX_TIERS)]

    @model_validator(mode="after")
    def _side_by_side(self) -> Self:
        *bounded, last = [tier.up_to_inclusive for tier in self.tiers]
        if last is not None:
            raise ValueError(f"the last tier ends at {last}: above it nothing would have a price; leave its bound out")
        bounds: list[str] = []
        for number, bound in enumerate(bounded, start=1):
            if bound is None:
                raise ValueError(f"tier {number} has no bound, so it overlaps the next; only the last has none")
            bounds.append(bound)
        for number, (before, bound) in enumerate(pairwise(bounds), start=2):
            if parse_decimal(bound) <= parse_decimal(before):
                raise ValueError(f"tier {number} ends at {bound} and overlaps the one before, which ends at {before}")
        return self


class GraduatedPrice(_Tiered):
    """Each part of the quantity costs the price of the tier it lies in."""

    model: Literal["graduated"]


class VolumePrice(_Tiered):
    """The whole quantity costs the price of the one tier it lies in."""

    model: Literal["volume"]


def number_properties(model: PriceModel) -> set[str]:
    """The plan properties that ``model`` takes numbers from. An allowance is not among them: it may say "Unlimited"."""
    said = [model.minimum, model.maximum]
    match model:
        case GraduatedPrice(tiers=tiers) | VolumePrice(tiers=tiers):
            said += [tier.price for tier in tiers]
        case PackagePrice(size=size):
            said.append(size)
        case _:
            pass
    return {one for one in said if one is not None and not is_number(one)}


def takes_unit_price(model: PriceModel) -> bool:
    """Whether the unit's own price property counts; tiers name their prices themselves."""
    return not isinstance(model, GraduatedPrice | VolumePrice)


PriceModel = Annotated[
    FlatPrice | IncludedPrice | GraduatedPrice | VolumePrice | PackagePrice, Field(discriminator="model")
]
