"""The catalogue (services, counters, plans, overrides, billing units), and ``catalog.changes``, which tells of it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tallyport.contracts.base import Contract, Count, Currency, Identifier, Text
from tallyport.contracts.currencies import ConversionRate
from tallyport.contracts.pricing import FlatPrice, PriceModel, number_properties, takes_unit_price
from tallyport.contracts.rules import NonBillableRule
from tallyport.contracts.units import (
    ColumnQuantity,
    Conversion,
    CounterQuantity,
    DescriptionPattern,
    Quantity,
    Unit,
    ViewUnit,
    fields_of,
)

CATALOG_TYPE = "tallyport.catalog.changes.v1"

PropertyText = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Properties = dict[Identifier, PropertyText]


class Counter(Contract):
    """A named measure of an object on a day."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    name: Identifier
    unit: Text
    aggregation: Literal["last", "max", "sum"] = "last"


class Plan(Contract):
    """What is chosen and priced. A property's value is text; those used as a price must be plain decimals."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    id: Identifier
    type: Literal["customer_plan", "user_plan"]
    name: Text
    currency: Currency
    properties: Properties = Field(default_factory=dict)


class Override(Contract):
    """Other values of a plan's properties for one organisation (and all below it) or for one location.

    ``currency`` is that of the amounts among them; left out, the plan's.
    """

    TYPE: ClassVar[str] = CATALOG_TYPE

    plan: Identifier
    organisation: Identifier | None = None
    location: Identifier | None = None
    currency: Currency | None = None
    properties: Annotated[Properties, Field(min_length=1)]

    @model_validator(mode="after")
    def _one_level(self) -> Self:
        if (self.organisation is None) == (self.location is None):
            raise ValueError("an override names either an organisation or a location")
        return self


class BillingUnit(Contract):
    """The rule that makes one line per instance, user or application of a service, or for those that a view names."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    id: Identifier
    plan_type: Literal["customer_plan", "user_plan", "application"]
    unit: Unit
    quantity: Quantity = "status"
    convert: Conversion | None = None
    price: Identifier = "sales_price"
    cost: Identifier = "cost_price"
    price_model: PriceModel = FlatPrice()
    stock_code: Identifier = "stock_code"
    unit_code: Text = ""
    description: DescriptionPattern = ""
    """How lines are described; empty: as a view says, or by the name of the customer (an instance) or user."""
    order: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """The place of its lines among the service's: lower numbers first, then by id."""
    active: bool = True
    """A unit that is not active makes no lines."""

    @property
    def subject(self) -> Literal["instance", "user", "application"]:
        """What its lines are about; for a view's unit the plan type says it."""
        if not isinstance(self.unit, ViewUnit):
            return self.unit
        return {"customer_plan": "instance", "user_plan": "user"}.get(self.plan_type, "application")  # type: ignore[return-value]

    @property
    def priced_by(self) -> Literal["customer_plan", "user_plan"]:
        """The type of plan that its prices stand in: an application is priced by its user's plan."""
        return "customer_plan" if self.subject == "instance" else "user_plan"

    @property
    def number_properties(self) -> set[str]:
        """The plan properties that have to be numbers, where a plan has them."""
        unit_price = {self.price} if takes_unit_price(self.price_model) else set()
        return unit_price | {self.cost} | number_properties(self.price_model)

    @model_validator(mode="before")
    @classmethod
    def _a_view_counts_its_column(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("unit"), dict | ViewUnit) and "quantity" not in data:
            return {**data, "quantity": {}}
        return data

    @model_validator(mode="after")
    def _counts_what_it_has(self) -> Self:
        if isinstance(self.unit, ViewUnit) != isinstance(self.quantity, ColumnQuantity):
            raise ValueError("quantity: a view's unit counts a column of the view, and no other unit does")
        if isinstance(self.unit, ViewUnit) and self.description:
            raise ValueError("description: the view says how its lines are described")
        return self

    @model_validator(mode="after")
    def _unit_has_that_plan(self) -> Self:
        if self.plan_type not in {self.priced_by, self.subject}:
            raise ValueError(f"unit {self.unit!r} is priced by a {self.priced_by}, not by a {self.plan_type}")
        return self

    @model_validator(mode="after")
    def _converts_a_measure(self) -> Self:
        if self.convert is not None and not isinstance(self.quantity, CounterQuantity):
            raise ValueError("convert: only a quantity that is measured by a counter can be converted")
        return self

    @model_validator(mode="after")
    def _describes_what_it_has(self) -> Self:
        absent = {"instance": ("user_name", "application_name"), "user": ("application_name",)}.get(self.subject, ())
        for field in fields_of(self.description):
            if field in absent:
                raise ValueError(f"description: a line of unit {self.unit!r} has no {{{field}}}")
        return self


class Service(Contract):
    """Something sold, with everything that says how it is billed."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    id: Identifier
    name: Text
    counters: list[Counter] = Field(default_factory=list)
    plans: list[Plan] = Field(default_factory=list)
    billing_units: list[BillingUnit] = Field(default_factory=list)
    overrides: list[Override] = Field(default_factory=list)


class CatalogDocument(Contract):
    """The whole catalogue as code: one YAML file."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    services: Annotated[list[Service], Field(min_length=1)]
    non_billable: list[NonBillableRule] | None = None
    """All rules, in the order in which they are tried; left out, they stay as they are."""
    conversion_rates: list[ConversionRate] | None = None
    """All rates at which prices may be converted; left out, they stay as they are."""


class ServiceChanged(Contract):
    """A service's name and counters. Key ``service:<id>``."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["service"] = "service"
    id: Identifier
    name: Text
    counters: list[Counter]


class PlanChanged(Contract):
    """A plan and its own property values. Key ``plan:<id>``."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["plan"] = "plan"
    id: Identifier
    service: Identifier
    type: Literal["customer_plan", "user_plan"]
    name: Text
    currency: Currency
    properties: Properties


class OverridesChanged(Contract):
    """All property values one level says for a plan, with their currency if not the plan's; empty when it says none.

    Key ``override:<plan>:organisation:<id>`` or ``override:<plan>:location:<id>``.
    """

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["override"] = "override"
    plan: Identifier
    level: Literal["organisation", "location"]
    level_id: Identifier
    currency: Currency | None = None
    properties: Properties


class SchemaPublished(Contract):
    """The billing units of a service that the next transfer uses. Key ``service_schema:<service>``."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["service_schema"] = "service_schema"
    service: Identifier
    version: Count
    units: list[BillingUnit]


class RulesChanged(Contract):
    """All rules about what is counted and not charged, in order. Key ``non_billable``."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["non_billable"] = "non_billable"
    rules: list[NonBillableRule]


class RatesChanged(Contract):
    """All rates at which prices may be converted. Key ``conversion_rates``."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["conversion_rates"] = "conversion_rates"
    rates: list[ConversionRate]


class CatalogRemoval(Contract):
    """A plan or service that is no longer in the catalogue."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["service", "plan"]
    id: Identifier
    deleted: Literal[True] = True


CatalogChange = ServiceChanged | PlanChanged | OverridesChanged | SchemaPublished | RulesChanged | RatesChanged
