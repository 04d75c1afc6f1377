"""The catalogue in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallyport.contracts.catalog import BillingUnit, Counter, Override, Plan, Service
from tallyport.contracts.currencies import ConversionRate
from tallyport.contracts.rules import NonBillableRule
from tallyport.postgres.queries import load_queries
from tallyport.pricing.inheritance import PlanValues

_QUERIES: Final = load_queries("billing_engine.catalog")

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class PricedPlan:
    """A plan of a service, and the units that price it: as edited, and as they count now."""

    plan: Plan
    service: str
    service_name: str
    draft: list[BillingUnit]
    published: list[BillingUnit]


async def lock(connection: Connection) -> None:
    """Hold off other editors until the transaction ends."""
    await connection.execute(_QUERIES["lock_catalog"])


async def read_services(connection: Connection) -> dict[str, Service]:
    """The whole catalogue, by service."""
    rows = await connection.fetch(_QUERIES["services"])
    found: dict[str, dict[str, Any]] = {
        row["id"]: {
            "id": row["id"], "name": row["name"], "counters": [], "plans": [], "billing_units": [], "overrides": []
        }
        for row in rows
    }  # fmt: skip
    for row in await connection.fetch(_QUERIES["counters"]):
        found[row["service"]]["counters"].append(
            Counter(name=row["name"], unit=row["unit"], aggregation=row["aggregation"])
        )
    for row in await connection.fetch(_QUERIES["plans"]):
        found[row["service"]]["plans"].append(
            Plan(
                id=row["id"],
                type=row["type"],
                name=row["name"],
                currency=row["currency"],
                properties=json.loads(row["properties"]),
            )
        )
    for row in await connection.fetch(_QUERIES["overrides"]):
        level = {row["level"]: row["level_id"]}
        found[row["service"]]["overrides"].append(
            Override(plan=row["plan"], currency=row["currency"], properties=json.loads(row["properties"]), **level)
        )
    for row in await connection.fetch(_QUERIES["drafts"]):
        found[row["service"]]["billing_units"] = [BillingUnit(**unit) for unit in json.loads(row["units"])]
    return {name: Service(**fields) for name, fields in found.items()}


async def read_rules(connection: Connection) -> list[NonBillableRule]:
    """The rules about lines that are not charged, in order."""
    rows = [dict(row.items()) for row in await connection.fetch(_QUERIES["rules"])]
    return [NonBillableRule(user=row.pop("user_pattern"), **row) for row in rows]


async def replace_rules(connection: Connection, rules: list[NonBillableRule]) -> None:
    """Make ``rules`` all there are."""
    await connection.execute(_QUERIES["clear_rules"])
    for rank, rule in enumerate(rules, start=1):
        criteria = (rule.organisation, rule.service, rule.plan, rule.user, rule.status)
        await connection.execute(
            _QUERIES["put_rule"], rank, rule.id, rule.reason, *criteria, rule.valid_from, rule.valid_to
        )


async def read_rates(connection: Connection) -> list[ConversionRate]:
    """The rates at which amounts are converted, ordered."""
    rows = await connection.fetch(_QUERIES["rates"])
    return [
        ConversionRate.model_validate(
            {
                "from": row["from_currency"],
                "to": row["to_currency"],
                "rate": row["rate"],
                "valid_from": row["valid_from"],
            }
        )
        for row in rows
    ]


async def replace_rates(connection: Connection, rates: list[ConversionRate]) -> None:
    """Make ``rates`` all there are."""
    await connection.execute(_QUERIES["clear_rates"])
    await connection.execute(
        _QUERIES["put_rates"],
        [one.from_currency for one in rates],
        [one.to_currency for one in rates],
        [one.rate for one in rates],
        [one.valid_from for one in rates],
    )


async def plan(connection: Connection, plan_id: str) -> PricedPlan | None:
    """One plan with the units that price it; None if there is none."""
    row = await connection.fetchrow(_QUERIES["plan"], plan_id)
    if row is None:
        return None
    found = Plan(
        id=row["id"], type=row["type"], name=row["name"], currency=row["currency"],
        properties=json.loads(row["properties"]),
    )  # fmt: skip
    draft, published = ([BillingUnit(**unit) for unit in json.loads(row[part])] for part in ("draft", "published"))
    return PricedPlan(found, row["service"], row["service_name"], draft, published)


async def plan_values(connection: Connection, plan: Plan, organisations: Sequence[str]) -> PlanValues:
    """What the plan, some organisations and all locations say."""
    rows = await connection.fetch(_QUERIES["plan_said"], plan.id, list(organisations))
    said: dict[str, dict[str, dict[str, str]]] = {"organisation": {}, "location": {}}
    currencies: dict[str, str] = {}
    for row in rows:
        said[row["level"]][row["level_id"]] = json.loads(row["properties"])
        if row["currency"] is not None:
            currencies[f"{row['level']}:{row['level_id']}"] = row["currency"]
    return PlanValues(plan.properties, said["organisation"], said["location"], plan.currency, currencies)


async def overrides(
    connection: Connection,
    *,
    within: str | None,
    organisation: str | None = None,
    plan_id: str | None = None,
    after: tuple[str, str] = ("", ""),
    limit: int,
) -> list[Override]:
    """What organisations say about plans, by plan and organisation."""
    rows = await connection.fetch(_QUERIES["overrides_within"], within, organisation, plan_id, *after, limit)
    return [
        Override(
            plan=row["plan"],
            organisation=row["organisation"],
            currency=row["currency"],
            properties=json.loads(row["properties"]),
        )
        for row in rows
    ]


async def replace_override(connection: Connection, plan_id: str, organisation: str, wanted: Override | None) -> None:
    """Make what an organisation says about a plan ``wanted``, and nothing else."""
    await connection.execute(_QUERIES["clear_override"], plan_id, organisation)
    if wanted is not None:
        properties = _pairs(wanted.properties)
        await connection.execute(
            _QUERIES["put_override"], plan_id, "organisation", organisation, wanted.currency, *properties
        )


async def plans(connection: Connection, *, service: str | None, after: str, limit: int) -> list[dict[str, Any]]:
    """Plans by id: id, service, type, name, currency."""
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["plans_after"], after, service, limit)]


async def plan_owners(connection: Connection, plan_ids: list[str]) -> dict[str, str]:
    """The service each of these plans belongs to now."""
    return {row["id"]: row["service"] for row in await connection.fetch(_QUERIES["plan_owners"], plan_ids)}


async def replace_service(connection: Connection, service: Service) -> list[str]:
    """Make the stored service what the document says; returns the ids of plans that are gone."""
    await connection.execute(_QUERIES["put_service"], service.id, service.name)
    await connection.execute(_QUERIES["clear_counters"], service.id)
    await connection.execute(
        _QUERIES["put_counters"],
        service.id,
        [counter.name for counter in service.counters],
        [counter.unit for counter in service.counters],
        [counter.aggregation for counter in service.counters],
    )
    await connection.execute(_QUERIES["clear_overrides"], service.id)
    gone = await connection.fetch(_QUERIES["remove_plans"], service.id, [plan.id for plan in service.plans])
    for plan in service.plans:
        await connection.execute(_QUERIES["put_plan"], plan.id, service.id, plan.type, plan.name, plan.currency)
        await connection.execute(_QUERIES["clear_properties"], plan.id)
        await connection.execute(_QUERIES["put_properties"], plan.id, *_pairs(plan.properties))
    for override in service.overrides:
        level = "organisation" if override.organisation is not None else "location"
        await connection.execute(
            _QUERIES["put_override"],
            override.plan,
            level,
            override.organisation or override.location,
            override.currency,
            *_pairs(override.properties),
        )
    units = json.dumps([unit.model_dump() for unit in service.billing_units])
    await connection.execute(_QUERIES["put_draft"], service.id, units)
    return [row["id"] for row in gone]


def _pairs(properties: dict[str, str]) -> tuple[list[str], list[str]]:
    return list(properties), list(properties.values())
