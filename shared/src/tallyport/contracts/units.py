"""The parts of a billing unit: what it makes lines for, where the quantity comes from, how its lines are described."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_serializer, model_validator

from tallyport.contracts.base import Contract, Identifier
from tallyport.pricing.conversion import factor

UNITS_TYPE: Final = "tallyport.catalog.changes.v1"
DESCRIPTION_FIELDS: Final = (
    "user_name", "application_name", "customer_name", "site_name", "service_name", "plan_name", "stock_code",
)  # fmt: skip
"""What a description pattern may name, in the order in which the engine fills them in."""

_FIELD: Final = re.compile(r"\{([^{}]*)\}")


def fields_of(pattern: str) -> list[str]:
    """The fields that a description pattern names.

    Raises:
        ValueError: a field there is not, or a brace that belongs to none.
    """
    fields: list[str] = _FIELD.findall(pattern)
    for one in fields:
        if one not in DESCRIPTION_FIELDS:
            known = ", ".join(f"{{{name}}}" for name in DESCRIPTION_FIELDS)
            raise ValueError(f"there is no field {{{one}}}; known: {known}")
    if any(brace in _FIELD.sub("", pattern) for brace in "{}"):
        raise ValueError("a brace without its partner; a field is written {user_name}")
    return fields


def _known_fields(pattern: str) -> str:
    fields_of(pattern)
    return pattern


DescriptionPattern = Annotated[
    str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$"), AfterValidator(_known_fields)
]


class Conversion(Contract):
    """What was measured in one unit is billed in another; exact, or refused."""

    TYPE: ClassVar[str] = UNITS_TYPE

    from_unit: Identifier = Field(alias="from")
    to_unit: Identifier = Field(alias="to")

    @model_validator(mode="after")
    def _exact(self) -> Self:
        factor(self.from_unit, self.to_unit)
        return self

    @model_serializer
    def _as_written(self) -> dict[str, str]:
        return {"from": self.from_unit, "to": self.to_unit}


class CounterQuantity(Contract):
    """The quantity of a line is a counter's value of the usage day."""

    TYPE: ClassVar[str] = UNITS_TYPE

    counter: Identifier


ViewName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
ViewVersion = Annotated[int, Field(ge=1, le=1_000_000)]


class ViewUnit(Contract):
    """Lines are made for the objects that a registered SQL view names. Publishing fixes the version of the view."""

    TYPE: ClassVar[str] = UNITS_TYPE

    view: ViewName
    version: ViewVersion | None = None
    """None: the newest at the moment of publishing."""


class ColumnQuantity(Contract):
    """The quantity of a line is what a registered view says in a column."""

    TYPE: ClassVar[str] = UNITS_TYPE

    column: Identifier | None = None
    """None: the column that the view was registered with."""


Unit = Literal["instance", "user", "application"] | ViewUnit
Quantity = Literal["status"] | CounterQuantity | ColumnQuantity
