"""The base of every contract, and the few value types they share."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints

from tallyport.money import parse_decimal, plain


class Contract(BaseModel):
    """The data of one event type.

    Written strictly (an unknown field is a programming error), read leniently (a newer minor version may add fields).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    TYPE: ClassVar[str]
    """The CloudEvents type, ending in the major version: ``tallyport.usage.samples.v1``."""

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Validate JSON bytes, ignoring fields this version does not know.

        Raises:
            pydantic.ValidationError: naming each wrong field.
        """
        return cls.model_validate_json(raw, extra="ignore")

    def write(self) -> bytes:
        """The event's JSON bytes, without fields that are not set."""
        return self.model_dump_json(exclude_none=True).encode()


def _decimal_from_json(value: Any) -> Any:
    """Decimals travel as JSON strings; an integer is exact too, a JSON fraction is not."""
    if isinstance(value, str):
        return parse_decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, Decimal):
        return value
    raise ValueError("a decimal is written as a JSON string")


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs an offset, as RFC 3339 has it")
    return value.astimezone(UTC)


DecimalText = Annotated[Decimal, BeforeValidator(_decimal_from_json), PlainSerializer(plain, return_type=str)]
Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f]+( [^\s\x00-\x1f]+)*$")
]
Text = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Instant = Annotated[datetime, AfterValidator(_aware)]
Count = Annotated[int, Field(ge=0)]
