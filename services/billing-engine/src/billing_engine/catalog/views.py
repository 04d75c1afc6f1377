"""What the catalogue's HTTP interface takes and gives, with an example of each."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from tallyport.contracts.base import Currency
from tallyport.contracts.catalog import Properties

CATALOG_EXAMPLE: Final[dict[str, Any]] = {
    "services": [
        {
            "id": "HE",
            "name": "Hosted Exchange",
            "counters": [{"name": "DiskUsageMB", "unit": "MB", "aggregation": "last"}],
            "plans": [
                {
                    "id": "HE-GOLD",
                    "type": "user_plan",
                    "name": "Gold",
                    "currency": "EUR",
                    "properties": {"sales_price": "4.50", "cost_price": "2.10"},
                }
            ],
            "billing_units": [{"id": "user", "plan_type": "user_plan", "unit": "user"}],
            "overrides": [{"plan": "HE-GOLD", "organisation": "var-north", "properties": {"sales_price": "4.00"}}],
        }
    ]
}
_OVERRIDE: Final = {"plan": "HE-GOLD", "organisation": "acme", "currency": None, "properties": {"sales_price": "5.20"}}
_CHANGE: Final = {"action": "added", "entity": "override:HE-GOLD:organisation:acme", "detail": "sales_price=5.20"}


def _example(value: Any, extra: Literal["allow", "forbid", "ignore"] = "ignore") -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]}, extra=extra)


class ChangeView(BaseModel):
    """One thing that is added, changed or removed."""

    model_config = _example(_CHANGE)

    action: Literal["added", "changed", "removed"]
    entity: str
    detail: str


class WarningView(BaseModel):
    """A field that can be applied and is worth a look."""

    field: str
    message: str


class ChangesView(BaseModel):
    """What a document changes. ``etag`` is the catalogue's that it was compared with."""

    model_config = _example({"changes": [_CHANGE], "warnings": [], "etag": '"6f1c..."'})

    changes: list[ChangeView]
    warnings: list[WarningView] = Field(default_factory=list)
    etag: str = Field(description="the catalogue's: before, of a comparison; afterwards, of a change")


class OverrideView(BaseModel):
    """What one organisation says about one plan."""

    model_config = _example(_OVERRIDE)

    plan: str
    organisation: str
    currency: str | None = Field(description="that of the amounts; null: the plan's")
    properties: dict[str, str]


class OverrideRequest(BaseModel):
    """All that an organisation says about a plan from now on, and why."""

    model_config = _example({"properties": {"sales_price": "5.20"}, "reason": "list of January"}, extra="forbid")

    properties: Properties = Field(min_length=1)
    currency: Currency | None = None
    reason: str = Field(default="", max_length=500, pattern=r"^[^\x00]*$")


class OverrideChanged(BaseModel):
    """What an organisation says now, and what of it is new."""

    model_config = _example({"override": _OVERRIDE, "changes": [_CHANGE]})

    override: OverrideView | None
    changes: list[ChangeView]


class PriceView(BaseModel):
    """A value that counts, and the level that says it."""

    value: str
    currency: str | None
    source: str = Field(
        description="`organisation:<id>`, `location:<id>`, `plan`, or `above`: a level that the token does not see"
    )


class PricesView(BaseModel):
    """What a plan costs an organisation."""

    model_config = _example(
        {
            "plan": "HE-GOLD",
            "service": "HE",
            "name": "Gold",
            "organisation": "acme",
            "properties": {"sales_price": {"value": "5.20", "currency": "EUR", "source": "organisation:acme"}},
        }
    )

    plan: str
    service: str
    name: str
    organisation: str | None
    properties: dict[str, PriceView]


class PlanView(BaseModel):
    """A plan that can be sold."""

    model_config = _example({"id": "HE-GOLD", "service": "HE", "type": "user_plan", "name": "Gold", "currency": "EUR"})

    id: str
    service: str
    type: Literal["customer_plan", "user_plan"]
    name: str
    currency: str
