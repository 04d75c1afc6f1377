"""What a registered view is, and what its result must look like; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from tallyport.contracts.units import ViewName

MAX_SQL_CHARACTERS: Final = 100_000
MAX_ID_CHARACTERS: Final = 200
MAX_TEXT_CHARACTERS: Final = 1000
MAX_NUMBER_CHARACTERS: Final = 60
_TEXT_TYPES: Final = frozenset({"text", "varchar", "bpchar", "name", "uuid", "int2", "int4", "int8", "unknown"})
_NUMBER_TYPES: Final = frozenset({"int2", "int4", "int8", "numeric"})
_ROLES: Final = {
    "object_id": "the id of the instance, subscription or application that the line is about",
    "plan_id": "the id of the plan that prices it",
    "description": "how the line is described",
    "name": "the name on the line",
}

PlanType = Literal["customer_plan", "user_plan", "application"]
Dialect = Literal["postgres", "tsql"]


class ViewError(ValueError):
    """A view that cannot be used."""


class ViewRefusedError(ViewError):
    """A view that is not registered, with the reasons."""

    def __init__(self, reasons: Sequence[str], field: str = "sql") -> None:
        super().__init__("; ".join(reasons))
        self.field = field
        self.reasons = list(reasons)


class ViewFailedError(ViewError):
    """A registered view that did not give what it has to; names the view."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"view {name!r}: {reason}")
        self.reason = reason


class Definition(BaseModel):
    """What an administrator registers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ViewName
    service: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    plan_type: PlanType
    label: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    quantity_column: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    sql: Annotated[str, Field(min_length=1, max_length=MAX_SQL_CHARACTERS)]
    dialect: Dialect = "postgres"


@dataclass(frozen=True, slots=True)
class RegisteredView:
    """One version of a view. ``source_sql`` is what was given, ``sql`` what runs."""

    name: str
    version: int
    service: str
    plan_type: PlanType
    label: str
    quantity_column: str
    dialect: Dialect
    source_sql: str
    sql: str
    registered_at: datetime
    registered_by: str


@dataclass(frozen=True, slots=True)
class Dates:
    """For which batch a view runs, and which day's usage that bills; ``as_of`` where not the present state counts."""

    batch_date: date
    usage_day: date
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class ViewWork:
    """A billing unit whose lines a view names: the unit's number in the working set, and what to run for it."""

    unit_no: int
    service: str
    subject: str
    view: str
    version: int | None
    column: str | None

    @property
    def source(self) -> str:
        """What its lines name as the source of their quantity."""
        return f"view:{self.view}:{self.version}"


Row = tuple[str, str | None, str | None, str | None, Decimal | None]
"""Object id, plan id, description, name, quantity; no quantity: nothing was measured."""


def folded(name: str) -> str:
    """A column's name as it is compared: ``ObjectID``, ``object_id`` and ``objectid`` are the same."""
    return name.lower().replace("_", "")


@dataclass(frozen=True, slots=True)
class Columns:
    """The result's own names for the five columns that count."""

    object_id: str
    plan_id: str
    description: str
    name: str
    quantity: str


def columns_of(found: Mapping[str, str], quantity_column: str) -> Columns:
    """Pick the five columns out of a result, given as names with PostgreSQL's names of their types.

    Raises:
        ViewRefusedError: a column is missing, or cannot be what it has to be; every reason.
    """
    by_name = {folded(name): name for name in found}
    reasons: list[str] = []
    picked: dict[str, str] = {}
    listed = ", ".join(found)
    for role, meaning in _ROLES.items():
        name = by_name.get(folded(role))
        if name is None:
            reasons.append(f"there is no column {role} ({meaning}); the result has {listed}")
        elif found[name] not in _TEXT_TYPES:
            reasons.append(f"column {name} is of type {found[name]}; it has to be text")
        else:
            picked[role] = name
    quantity = by_name.get(folded(quantity_column))
    if quantity is None:
        reasons.append(f"there is no column {quantity_column} (the quantity); the result has {listed}")
    elif found[quantity] in {"float4", "float8"}:
        reasons.append(f"column {quantity} is a binary fraction; cast it to numeric")
    elif found[quantity] not in _NUMBER_TYPES:
        reasons.append(f"column {quantity} is of type {found[quantity]}; a quantity has to be numeric")
    if reasons or quantity is None:
        raise ViewRefusedError(reasons)
    return Columns(**picked, quantity=quantity)


def row_fault(row: Row) -> str | None:
    """Why a row cannot become a line; None if it can."""
    object_id, plan_id, description, name, quantity = row
    if not object_id:
        return "a row has no object id"
    for said, longest, what in (
        (object_id, MAX_ID_CHARACTERS, "object id"),
        (plan_id, MAX_ID_CHARACTERS, "plan id"),
        (description, MAX_TEXT_CHARACTERS, "description"),
        (name, MAX_TEXT_CHARACTERS, "name"),
    ):
        if said is not None and len(said) > longest:
            return f"the {what} of object {object_id[:50]!r} is longer than {longest} characters"
    if quantity is None:
        return None
    if not quantity.is_finite() or len(str(quantity)) > MAX_NUMBER_CHARACTERS:
        return f"the quantity of object {object_id!r} is no number that can be billed"
    if quantity < 0:
        return f"the quantity of object {object_id!r} is {quantity}; a view that subtracts takes max(0, ...) itself"
    return None
