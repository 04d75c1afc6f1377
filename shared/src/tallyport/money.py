"""Money: exact decimals, one rounding rule, one way to print a number.

Nothing here, and nothing that handles money elsewhere, ever becomes a binary floating-point number.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, localcontext
from typing import Final

MAX_DIGITS: Final = 38
"""Digits of the longest number accepted, both sides of the point together."""

_PLAIN = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)

# ISO 4217 gives two minor digits to most currencies; these are the others.
_MINOR_DIGITS: Final = {
    "BHD": 3, "BIF": 0, "CLF": 4, "CLP": 0, "DJF": 0, "GNF": 0, "IQD": 3, "ISK": 0, "JOD": 3, "JPY": 0, "KMF": 0,
    "KRW": 0, "KWD": 3, "LYD": 3, "OMR": 3, "PYG": 0, "RWF": 0, "TND": 3, "UGX": 0, "UYI": 0, "UYW": 4, "VND": 0,
    "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
}  # fmt: skip

MINOR_DIGITS: Final[dict[str, int]] = dict(_MINOR_DIGITS)

# Wide enough that a product of three accepted numbers (a quantity, a price, a conversion rate) is exact; anything that
# would lose a digit raises.
_EXACT_DIGITS: Final = 3 * MAX_DIGITS + 6
_EXACT: Final = Context(prec=_EXACT_DIGITS, traps=[Inexact, InvalidOperation])


class NotANumberError(ValueError):
    """The text is not a plain decimal number."""


def parse_decimal(text: str) -> Decimal:
    """Read a plain decimal: digits, one point, a sign; no exponent, no NaN, no grouping.

    Raises:
        NotANumberError: with the text (shortened) and what is accepted.
    """
    if len(text) > MAX_DIGITS + 2 or not _PLAIN.fullmatch(text):
        shown = text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004 - a readable length
        raise NotANumberError(
            f"{shown!r} is not a plain decimal number (digits and a point, at most {MAX_DIGITS} digits)"
        )
    return Decimal(text)


def plain(value: Decimal) -> str:
    """The number as digits and a point, never with an exponent; full precision kept."""
    return format(value, "f")


def minor_digits(currency: str) -> int:
    """How many digits follow the point in amounts of ``currency`` (ISO 4217; two unless listed)."""
    return MINOR_DIGITS.get(currency, 2)


def line_total(quantity: Decimal, price: Decimal, currency: str) -> Decimal:
    """``quantity`` times ``price``, rounded half away from zero to the currency's minor unit."""
    return round_half_away(exact_product(quantity, price), minor_digits(currency))


def exact_product(one: Decimal, other: Decimal) -> Decimal:
    """``one`` times ``other``, not a digit lost."""
    with localcontext(_EXACT):
        return one * other


def round_half_away(value: Decimal, digits: int) -> Decimal:
    """``value`` with ``digits`` after the point; a half goes away from zero, as PostgreSQL's ``round`` does."""
    with localcontext(Context(prec=_EXACT_DIGITS, rounding=ROUND_HALF_UP)):
        return value.quantize(Decimal(1).scaleb(-digits))
