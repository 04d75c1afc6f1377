"""What the HTTP interface of registered views gives, with an example of each."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from billing_engine.billing_views.model import Dialect, PlanType

DEFINITION: Final[dict[str, Any]] = {
    "name": "excess",
    "service": "HE",
    "plan_type": "customer_plan",
    "label": "Per Instance - Excess Usage",
    "quantity_column": "excess_mb",
    "dialect": "postgres",
    "sql": "SELECT object_id, plan_id, description, name, excess_mb FROM ...",
}
_BRIEF: Final[dict[str, Any]] = {
    **{name: value for name, value in DEFINITION.items() if name != "sql"},
    "version": 1,
    "registered_at": "2026-11-23T09:30:00Z",
    "registered_by": "operator",
}
_REGISTERED: Final[dict[str, Any]] = {**_BRIEF, "changed": True, "rows": 120, "warnings": []}


def _example(value: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class BriefView(BaseModel):
    """A registered view without its SQL."""

    model_config = _example(_BRIEF)

    name: str
    version: int
    service: str
    plan_type: PlanType
    label: str
    quantity_column: str
    dialect: Dialect
    registered_at: datetime
    registered_by: str


class WholeView(BriefView):
    """A version with the SQL as it was given and as it runs."""

    model_config = _example({**_BRIEF, "source_sql": DEFINITION["sql"], "sql": DEFINITION["sql"]})

    source_sql: str
    sql: str


class VersionsView(BaseModel):
    """All versions of a view, newest first."""

    model_config = _example(
        {"name": "excess", "versions": [{**_BRIEF, "source_sql": DEFINITION["sql"], "sql": DEFINITION["sql"]}]}
    )

    name: str
    versions: list[WholeView]


class RegisteredAnswer(BriefView):
    """What registering did; ``changed`` is false if the newest version says the same."""

    model_config = _example(_REGISTERED)

    changed: bool
    rows: int = Field(description="what it gives today")
    warnings: list[str]


class ImportedAnswer(RegisteredAnswer):
    """What a script's call became, and what of it means nothing here."""

    model_config = _example({**_REGISTERED, "ignored": ["@Debug"]})

    ignored: list[str]


class ImportAnswer(BaseModel):
    """What a script registered."""

    model_config = _example({"registered": [{**_REGISTERED, "ignored": ["@Debug"]}]})

    registered: list[ImportedAnswer]
