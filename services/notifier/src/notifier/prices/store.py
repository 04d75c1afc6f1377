"""The projections in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from tallyport.contracts.catalog import (
    BillingUnit,
    CatalogChange,
    CatalogRemoval,
    OverridesChanged,
    PlanChanged,
    SchemaPublished,
)
from tallyport.contracts.currencies import ConversionRate
from tallyport.contracts.directory import Organisation
from tallyport.contracts.rules import NonBillableRule
from tallyport.postgres.queries import load_queries
from tallyport.pricing.inheritance import PlanValues

from notifier.prices.model import Customer, PriceBook, PricedPlan

_QUERIES: Final = load_queries("notifier.prices")

Connection = Any  # an asyncpg connection, from a pool or not
CatalogData = CatalogChange | CatalogRemoval


async def put_organisation(connection: Connection, organisation: Organisation, partition: int, offset: int) -> None:
    """Enter an organisation, unless a newer record was entered already."""
    await connection.execute(
        _QUERIES["put_organisation"],
        organisation.id,
        organisation.type.value,
        organisation.parent,
        organisation.name,
        organisation.location,
        organisation.language,
        organisation.currency,
        organisation.imported,
        partition,
        offset,
    )


async def remove_organisation(connection: Connection, organisation_id: str, partition: int, offset: int) -> None:
    """Take an organisation out."""
    await connection.execute(_QUERIES["remove_organisation"], organisation_id, partition, offset)


async def put_catalog_entity(connection: Connection, key: str, data: CatalogData, partition: int, offset: int) -> None:
    """Enter a catalogue entity, unless a newer record was entered already."""
    match data:
        case PlanChanged(id=plan, service=service):
            about: tuple[str | None, str | None] = (plan, service)
        case OverridesChanged(plan=plan):
            about = (plan, None)
        case SchemaPublished(service=service):
            about = (None, service)
        case _:
            about = (None, None)
    await connection.execute(
        _QUERIES["put_catalog_entity"], key, data.kind, *about, data.model_dump_json(), partition, offset
    )


async def remove_catalog_entity(connection: Connection, key: str, partition: int, offset: int) -> None:
    """Take a catalogue entity out."""
    await connection.execute(_QUERIES["remove_catalog_entity"], key, partition, offset)


async def customers(connection: Connection, customer_ids: Iterable[str]) -> dict[str, Customer]:
    """Those of the customers that somebody told of, each with what it inherits from above."""
    chains: dict[str, list[Any]] = {}
    for row in await connection.fetch(_QUERIES["chain"], list(customer_ids)):
        chains.setdefault(row["customer"], []).append(row)
    return {name: _customer(rows) for name, rows in chains.items()}


def _customer(rows: list[Any]) -> Customer:
    def nearest(column: str) -> str | None:
        return next((row[column] for row in rows if row[column] is not None), None)

    return Customer(
        id=rows[0]["id"],
        name=rows[0]["name"],
        chain=[row["id"] for row in rows],
        location=nearest("location"),
        language=nearest("language"),
        currency=nearest("currency"),
        imported=rows[0]["imported"],
    )


async def price_book(connection: Connection, plans: Iterable[str]) -> PriceBook:
    """Everything the catalogue says of ``plans``."""
    wanted = sorted(set(plans))
    rows = await connection.fetch(_QUERIES["plans"], wanted)
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(json.loads(row["data"]))
    units = {
        schema["service"]: [BillingUnit(**unit) for unit in schema["units"]]
        for schema in by_kind.get("service_schema", [])
    }
    levels: dict[str, dict[str, dict[str, dict[str, str]]]] = {
        plan: {"organisation": {}, "location": {}} for plan in wanted
    }
    currencies: dict[str, dict[str, str]] = {plan: {} for plan in wanted}
    for override in by_kind.get("override", []):
        levels[override["plan"]][override["level"]][override["level_id"]] = override["properties"]
        if override.get("currency") is not None:
            currencies[override["plan"]][f"{override['level']}:{override['level_id']}"] = override["currency"]
    return PriceBook(
        plans={
            plan["id"]: PricedPlan(
                id=plan["id"],
                service=plan["service"],
                name=plan["name"],
                type=plan["type"],
                currency=plan["currency"],
                values=PlanValues(
                    plan["properties"],
                    levels[plan["id"]]["organisation"],
                    levels[plan["id"]]["location"],
                    plan["currency"],
                    currencies[plan["id"]],
                ),
                units=units.get(plan["service"]),
            )
            for plan in by_kind.get("plan", [])
        },
        rates=[ConversionRate(**rate) for said in by_kind.get("conversion_rates", []) for rate in said["rates"]],
        rules=[NonBillableRule(**rule) for said in by_kind.get("non_billable", []) for rule in said["rules"]],
    )
