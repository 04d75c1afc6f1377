"""What the HTTP interface of service schemas takes and gives, with an example of each."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from tallyport.contracts.base import Identifier

_UNIT: Final = {"id": "user", "plan_type": "user_plan", "unit": "user", "quantity": "status", "price": "sales_price"}
_VERSION: Final = {
    "version": 2,
    "units": [_UNIT],
    "published_at": "2026-11-23T09:30:00Z",
    "published_by": "operator",
    "reason": "users by megabyte",
}


def _example(value: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class PublishRequest(BaseModel):
    """Why a new version is published; kept with it."""

    model_config = _example({"reason": "users by megabyte"})

    reason: str = Field(default="", max_length=500, pattern=r"^[^\x00]*$")


class RevertRequest(PublishRequest):
    """To which version to go back, and why."""

    model_config = _example({"version": 1, "reason": "back to one price per user"})

    version: int = Field(ge=1, le=2**31 - 1)


class PreviewRequest(BaseModel):
    """Whom to show: one customer, or the ``limit`` customers for whom most would change."""

    model_config = _example({"customer": "cust-002", "limit": 50})

    customer: Identifier | None = None
    limit: int = Field(default=50, ge=0, le=1000)


class VersionView(BaseModel):
    """A published version, for ever the same."""

    model_config = _example(_VERSION)

    version: int
    units: list[dict[str, Any]]
    published_at: datetime
    published_by: str
    reason: str


class ViewOffer(BaseModel):
    """A registered view that a unit of the service may name."""

    name: str
    version: int
    label: str
    plan_type: str
    quantity_column: str


class SchemaView(BaseModel):
    """The draft, the version that transfers use, and the registered views that a unit may name."""

    model_config = _example({"service": "HE", "draft": [_UNIT], "published": _VERSION, "views": []})

    service: str
    draft: list[dict[str, Any]]
    published: VersionView | None
    views: list[ViewOffer]


class UnitChange(BaseModel):
    """One thing that the draft adds, changes or removes; ``field`` is null where it is a whole unit."""

    action: Literal["added", "changed", "removed"]
    unit: str
    field: str | None
    before: Any
    after: Any


class SchemaDiff(BaseModel):
    """What publishing the draft would change."""

    model_config = _example(
        {
            "service": "HE",
            "changes": [
                {
                    "action": "changed",
                    "unit": "user",
                    "field": "price",
                    "before": "sales_price",
                    "after": "pro_price",
                }
            ],
        }
    )

    service: str
    changes: list[UnitChange]


class History(BaseModel):
    """The versions, newest first."""

    model_config = _example({"service": "HE", "versions": [_VERSION]})

    service: str
    versions: list[VersionView]


class PublishedView(BaseModel):
    """The version that the next transfer uses; ``changed`` is false if the draft was published already."""

    model_config = _example({"service": "HE", "version": 2, "changed": True, "units": [_UNIT]})

    service: str
    version: int
    changed: bool
    units: list[dict[str, Any]]


class FiguresView(BaseModel):
    """How many lines, and what they sum up to."""

    lines: int
    total: str


class TotalChange(BaseModel):
    """All that is shown, in one currency."""

    currency: str
    before: FiguresView
    after: FiguresView
    difference: str


class CustomerChangeView(TotalChange):
    """One customer, in one currency."""

    customer: str


_BEFORE: Final = {"lines": 3, "total": "13.50"}
_AFTER: Final = {"lines": 3, "total": "15.00"}
_DIFFERENT: Final = {"currency": "EUR", "before": _BEFORE, "after": _AFTER, "difference": "1.50"}


class PreviewView(BaseModel):
    """Today's lines by the draft beside those by the published version."""

    model_config = _example(
        {
            "service": "HE",
            "version": 1,
            "usage_day": "2026-11-22",
            "totals": [_DIFFERENT],
            "customers_changed": 1,
            "customers": [_DIFFERENT | {"customer": "cust-002"}],
        }
    )

    service: str
    version: int | None
    usage_day: date
    totals: list[TotalChange]
    customers_changed: int
    customers: list[CustomerChangeView]
