"""The catalogue (services, counters, plans, overrides, billing units), and ``catalog.changes``, which tells of it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tallyport.contracts.base import Contract, Count, Currency, Identifier, Text
from tallyport.contracts.pricing import FlatPrice, PriceModel, number_properties, takes_unit_price

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
    """Other values of a plan's properties for one organisation (and all below it) or for one location."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    plan: Identifier
    organisation: Identifier | None = None
    location: Identifier | None = None
    properties: Annotated[Properties, Field(min_length=1)]

    @model_validator(mode="after")
    def _one_level(self) -> Self:
        if (self.organisation is None) == (self.location is None):
            raise ValueError("an override names either an organisation or a location")
        return self


class CounterQuantity(Contract):
    """The quantity of a line is a counter's value of the usage day."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    counter: Identifier


class BillingUnit(Contract):
    """The rule that makes one line per instance, user or application of a service."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    id: Identifier
    plan_type: Literal["customer_plan", "user_plan"]
    unit: Literal["instance", "user", "application"]
    quantity: Literal["status"] | CounterQuantity = "status"
    price: Identifier = "sales_price"
    cost: Identifier = "cost_price"
    price_model: PriceModel = FlatPrice()
    stock_code: Identifier = "stock_code"
    unit_code: Text = ""

    @property
    def number_properties(self) -> set[str]:
        """The plan properties that have to be numbers, where a plan has them."""
        unit_price = {self.price} if takes_unit_price(self.price_model) else set()
        return unit_price | {self.cost} | number_properties(self.price_model)

    @model_validator(mode="after")
    def _unit_has_that_plan(self) -> Self:
        wanted = "customer_plan" if self.unit == "instance" else "user_plan"
        if self.plan_type != wanted:
            raise ValueError(f"unit {self.unit!r} is priced by a {wanted}, not by a {self.plan_type}")
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
    """All property values one level says for a plan; empty when it says none any more.

    Key ``override:<plan>:organisation:<id>`` or ``override:<plan>:location:<id>``.
    """

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["override"] = "override"
    plan: Identifier
    level: Literal["organisation", "location"]
    level_id: Identifier
    properties: Properties


class SchemaPublished(Contract):
    """The billing units of a service that the next transfer uses. Key ``service_schema:<service>``."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["service_schema"] = "service_schema"
    service: Identifier
    version: Count
    units: list[BillingUnit]


class CatalogRemoval(Contract):
    """A plan or service that is no longer in the catalogue."""

    TYPE: ClassVar[str] = CATALOG_TYPE

    kind: Literal["service", "plan"]
    id: Identifier
    deleted: Literal[True] = True


CatalogChange = ServiceChanged | PlanChanged | OverridesChanged | SchemaPublished
