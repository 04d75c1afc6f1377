"""Converting a measured quantity into the unit that is billed, without losing a digit.

Decimal units are powers of 1000 (MB, GB), binary ones of 1024 (MiB, GiB); the name says which. A conversion that
cannot be exact for every quantity, such as minutes into hours, is refused rather than rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from types import MappingProxyType
from typing import Final

_EXACT: Final = Context(prec=100, traps=[Inexact, InvalidOperation])
_BYTES: Final = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGTP", start=1)},
    "KB": 1000,
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGTP", start=1)},
}
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_COUNTS: Final = {"pieces": 1, "thousands": 1000, "millions": 1_000_000}
DIMENSIONS: Final[tuple[Mapping[str, int], ...]] = tuple(MappingProxyType(one) for one in (_BYTES, _SECONDS, _COUNTS))


class InexactConversionError(ValueError):
    """These units cannot be converted into one another exactly; the message says why."""


def factor(from_unit: str, to_unit: str) -> Decimal:
    """By how much a quantity of ``from_unit`` is multiplied to be one of ``to_unit``.

    Raises:
        InexactConversionError: an unknown unit, units of different dimensions, or no exact factor.
    """
    for unit in (from_unit, to_unit):
        if not any(unit in dimension for dimension in DIMENSIONS):
            known = ", ".join(name for dimension in DIMENSIONS for name in dimension)
            raise InexactConversionError(f"{unit!r} is not a unit that can be converted; known: {known}")
    for dimension in DIMENSIONS:
        if from_unit in dimension and to_unit in dimension:
            return _ratio(dimension[from_unit], dimension[to_unit], f"{from_unit} to {to_unit}")
    raise InexactConversionError(f"{from_unit} and {to_unit} do not measure the same thing")


def _ratio(numerator: int, denominator: int, what: str) -> Decimal:
    with localcontext(_EXACT):
        try:
            return (Decimal(numerator) / Decimal(denominator)).normalize()
        except Inexact:
            raise InexactConversionError(f"{what} has no exact factor ({numerator}/{denominator})") from None


def converted(quantity: Decimal, by: Decimal) -> Decimal:
    """``quantity`` times the factor ``by``, exact."""
    with localcontext(_EXACT):
        return quantity * by
