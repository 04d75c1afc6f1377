"""Amounts in another currency than the one that is billed: converted at a declared rate, or no amount at all.

A property's nearest value counts, whatever its currency; it is converted if it has to be. There is no rate but those
declared: none is turned round, and two are not multiplied to make a third.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tallyport.contracts.currencies import ConversionRate
from tallyport.money import exact_product, plain


@dataclass(frozen=True, slots=True)
class Exchange:
    """Into the currency ``to``, with the rates of ``day``, which is the usage day."""

    to: str
    day: date
    rates: Sequence[ConversionRate] = ()

    def rate(self, currency: str | None) -> ConversionRate | None:
        """The newest rate from ``currency`` that is valid on the day."""
        valid = [
            one
            for one in self.rates
            if one.from_currency == currency and one.to_currency == self.to and one.valid_from <= self.day
        ]
        return max(valid, key=lambda one: one.valid_from, default=None)

    def convert(self, amount: Decimal, currency: str | None) -> Decimal | None:
        """``amount`` of ``currency``, exact; None where there is no rate. No currency: that which is billed."""
        if currency is None or currency == self.to:
            return amount
        found = self.rate(currency)
        return None if found is None else exact_product(amount, found.rate)

    def note(self, currency: str | None) -> str:
        """What a price source says of it, ``converted:EUR>USD:1.08:2026-01-01``; empty if there was no conversion."""
        if currency is None or currency == self.to or (found := self.rate(currency)) is None:
            return ""
        return f"converted:{found.from_currency}>{found.to_currency}:{plain(found.rate)}:{found.valid_from}"
