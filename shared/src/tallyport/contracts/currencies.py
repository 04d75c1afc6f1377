"""The dated rates by which the catalogue lets prices be converted."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_serializer, model_validator

from tallyport.contracts.base import Contract, Currency, DecimalText
from tallyport.money import plain


def _positive(rate: Any) -> Any:
    if rate <= 0:
        raise ValueError(f"{plain(rate)} is not greater than 0")
    return rate


Rate = Annotated[DecimalText, AfterValidator(_positive)]


class ConversionRate(Contract):
    """One ``from`` is ``rate`` of ``to``, for usage days from ``valid_from`` on, until a newer rate of the same pair.

    It says nothing about the other direction, and two rates never make a third.
    """

    TYPE: ClassVar[str] = "tallyport.catalog.changes.v1"

    from_currency: Currency = Field(alias="from")
    to_currency: Currency = Field(alias="to")
    rate: Rate
    valid_from: date

    @model_validator(mode="after")
    def _two_currencies(self) -> Self:
        if self.from_currency == self.to_currency:
            raise ValueError(f"from and to are both {self.to_currency}")
        return self

    @model_serializer
    def _as_written(self) -> dict[str, str]:
        return {
            "from": self.from_currency,
            "to": self.to_currency,
            "rate": plain(self.rate),
            "valid_from": self.valid_from.isoformat(),
        }

    @property
    def name(self) -> str:
        """The pair and the day, which no other rate has: ``EUR>USD:2026-01-01``."""
        return f"{self.from_currency}>{self.to_currency}:{self.valid_from}"
