"""Batches of random trees, price lists and currencies, line by line against the slow model, every level of them."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest_asyncio
from bill import Bill, Line, read_line
from billing_engine.catalog import store as catalog_store
from billing_engine.transfers.lines import store as lines_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notifier.prices.model import Customer, PriceBook, PricedPlan, quote, unit_price
from tallyport.contracts.actions import PlanAdded, PlanChangedFor
from tallyport.contracts.billing import LINE_COLUMNS
from tallyport.contracts.catalog import BillingUnit, CatalogDocument, Plan
from tallyport.pricing.inheritance import PlanValues
from tallyport_local.testing import Connect

DAY = date(2026, 5, 3)
CURRENCIES = ["EUR", "USD", "GBP", "JPY"]
NAMES = ["sales_price", "cost_price", "stock_code", "tier_price", "gift", "floor", "cap", "bundle"]
BY_C = {"plan_type": "user_plan", "unit": "user", "quantity": {"counter": "C"}}
TIERS = [{"up_to_inclusive": "100", "price": "tier_price"}, {"up_to_inclusive": "500", "price": "0.8"},
         {"price": "sales_price"}]  # fmt: skip
UNITS: list[dict[str, Any]] = [
    {"id": "a-instance", "plan_type": "customer_plan", "unit": "instance"},
    {"id": "b-user", "plan_type": "user_plan", "unit": "user"},
    BY_C | {"id": "c-flat"},
    BY_C | {"id": "d-limits", "price_model": {"model": "flat", "minimum": "floor", "maximum": "40"}},
    BY_C | {"id": "e-included", "price_model": {"model": "included", "included": "gift", "maximum": "cap"}},
    BY_C | {"id": "f-graduated", "price_model": {"model": "graduated", "tiers": TIERS}},
    BY_C | {"id": "g-volume", "price_model": {"model": "volume", "tiers": TIERS, "minimum": "1.5"}},
    BY_C | {"id": "h-package", "price_model": {"model": "package", "size": "bundle"}},
    {"id": "i-floor", "plan_type": "user_plan", "unit": "user", "price_model": {"model": "flat", "minimum": "floor"}},
]  # fmt: skip


@dataclass
class World:
    """A directory, a catalogue and what was measured, all drawn from one number."""

    seed: int
    entities: list[dict[str, Any]] = field(default_factory=list)
    catalog: dict[str, Any] = field(default_factory=dict)
    usage: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)  # noqa: S311 - nothing secret, and the same again for the same number
        self._directory()
        self._catalog()

    def _maybe(self, value: Any, *, in_ten: int) -> Any:
        return value if self.draw.randrange(10) < in_ten else None

    def _number(self, high: int) -> str:
        return self.draw.choice(
            [str(self.draw.randrange(high)), f"{Decimal(self.draw.randrange(high * 10_000)) / 10_000:f}"]
        )

    def _directory(self) -> None:
        deep = self.draw.random() < 0.3
        nodes = [f"n{number}" for number in range(self.draw.randrange(1, 12))]
        customers = [f"c{number}" for number in range(self.draw.randrange(1, 7))]
        for at, name in enumerate([*nodes, *customers]):
            above = nodes[: at or 1]
            parent = None if at == 0 else above[-1] if deep and name in nodes else self.draw.choice(above)
            kind = "customer" if name in customers else "value_added_reseller" if parent else "service_provider"
            said = {"location": self._maybe(self.draw.choice(["north", "south"]), in_ten=3),
                    "currency": self._maybe(self.draw.choice(CURRENCIES), in_ten=4 if at else 7)}  # fmt: skip
            organisation = {
                "kind": "organisation",
                "id": name,
                "type": kind,
                "name": name.upper(),
                "parent": parent,
                **said,
            }
            self.entities.append({key: value for key, value in organisation.items() if value is not None})
        # Resellers use what they sell, too.
        for customer in [*customers, self.draw.choice(nodes)]:
            instance = {"kind": "service_instance", "id": f"{customer}-s", "customer": customer, "service": "S",
                        "plan": "I", "status": "Provisioned"}  # fmt: skip
            self.entities.append(instance)
            for number in range(self.draw.randrange(1, 5)):
                name = f"{customer}-u{number}"
                status = self.draw.choice(["Provisioned", "Provisioned", "NotProvisioned"])
                user = {"upn": f"{name}@example.org", "name": name}
                self.entities.append({"kind": "subscription", "id": name, "instance": instance["id"], "user": user,
                                      "plan": self.draw.choice(["P", "Q"]), "status": status})  # fmt: skip
                if self.draw.random() < 0.9:
                    self.usage["C", name] = self.draw.choice(["0", "100", "500", "-3", self._number(900)])

    def _properties(self, in_ten: int) -> dict[str, str]:
        found = {name: self.draw.choice([self._number(30)] * 9 + ["", "Unlimited"]) for name in NAMES}
        found["stock_code"] = self.draw.choice(["A", "B"])
        return {name: value for name, value in found.items() if self.draw.randrange(10) < in_ten}

    def _catalog(self) -> None:
        nodes = [one["id"] for one in self.entities if one["kind"] == "organisation"]
        plans = [{"id": name, "type": "customer_plan" if name == "I" else "user_plan", "name": f"Plan {name}",
                  "currency": self.draw.choice(CURRENCIES[:3]), "properties": self._properties(9)}
                 for name in ("I", "P", "Q")]  # fmt: skip
        levels = [{"organisation": name} for name in nodes] + [{"location": name} for name in ("north", "south")]
        overrides = []
        for level in levels:
            for plan in plans:
                said = self._properties(4)
                if said and self.draw.randrange(10) < 5:
                    currency = self._maybe(self.draw.choice(CURRENCIES), in_ten=4)
                    overrides.append({"plan": plan["id"], **level, "properties": said}
                                     | ({"currency": currency} if currency else {}))  # fmt: skip
        rates = [{"from": one, "to": other, "rate": self._number(3), "valid_from": str(DAY + timedelta(days=days))}
                 for one in CURRENCIES for other in CURRENCIES for days in (-30, 0, 1)
                 if one != other and self.draw.randrange(10) < 4]  # fmt: skip
        rules = [{"id": "some", "reason": "some", "organisation": self.draw.choice(nodes)}] * self.draw.randrange(2)
        service = {"id": "S", "name": "Service", "counters": [{"name": "C", "unit": "MB"}], "plans": plans,
                   "billing_units": UNITS, "overrides": overrides}  # fmt: skip
        self.catalog = {"services": [service], "non_billable": rules,
                        "conversion_rates": [one for one in rates if Decimal(one["rate"]) > 0]}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def connection(connect: Connect) -> AsyncIterator[Any]:
    _, pool = await connect("billing_engine")
    async with pool.acquire() as acquired:
        await acquired.execute("INSERT INTO counter (name) VALUES ('C')")
        await acquired.execute("SELECT ensure_usage_day($1)", DAY)
        yield acquired


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
async def test_every_line_is_what_the_model_says(connection: Any, seed: int) -> None:
    world = World(seed)
    assert (
        await computed(connection, world)
        == Bill(catalog=world.catalog, usage=world.usage, day=DAY, entities=world.entities).all_lines()
    )


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_the_gate_quotes_what_the_engine_bills(seed: int) -> None:
    """One more user who is there, of each plan, for every customer."""
    world = World(seed)
    bill = Bill(catalog=world.catalog, usage=world.usage, day=DAY, entities=world.entities)
    document = CatalogDocument.model_validate(world.catalog)
    units = [unit for unit in document.services[0].billing_units if unit.unit == "user" and unit.quantity == "status"]
    book = PriceBook(rates=document.conversion_rates or [], rules=document.non_billable or [])
    for customer in bill.organisations:
        for plan in document.services[0].plans[1:]:
            quoted = unit_price(_customer(bill, customer), _priced(document, plan, units), book, DAY)
            amounts = [bill.paid(customer, customer, one.model_dump(), bill.plans[plan.id], Decimal(1)).amount
                       for one in units]  # fmt: skip
            free = any(rule["organisation"] in bill.chain(customer) for rule in bill.rules)
            billed = None if None in amounts else sum((one for one in amounts if one is not None), Decimal(0))
            assert quoted == (Decimal(0) if free else billed)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_the_quote_of_a_batch_is_the_difference_of_two_bills(seed: int) -> None:
    """Many new users and changed bundles at once, and the lines of the bill without them and with them."""
    world = World(seed)
    document = CatalogDocument.model_validate(world.catalog)
    units = [unit for unit in document.services[0].billing_units if unit.unit == "user" and unit.quantity == "status"]
    plans = {plan.id: _priced(document, plan, units) for plan in document.services[0].plans[1:]}
    book = PriceBook(plans, document.conversion_rates or [], document.non_billable or [])
    bill = Bill(catalog=world.catalog, usage=world.usage, day=DAY, entities=world.entities)
    for instance in bill.instances.values():
        name, items, entities = instance["customer"], list[PlanAdded | PlanChangedFor](), list[dict[str, Any]]()
        users = [one for one in bill.subscriptions if one["instance"] == instance["id"]]
        for one in users:
            if one["status"] == "Provisioned" and world.draw.random() < 0.5:
                other = "Q" if one["plan"] == "P" else "P"
                items.append(PlanChangedFor(from_plan=one["plan"], to_plan=other, quantity=Decimal(1)))
                entities.append(one | {"plan": other})
            else:
                entities.append(one)
        for number in range(world.draw.randrange(1, 4)):
            plan, many = world.draw.choice("PQ"), world.draw.randrange(1, 9)
            items.append(PlanAdded(plan=plan, quantity_delta=Decimal(many)))
            entities += [{"kind": "subscription", "id": f"{name}-new-{number}-{n}", "instance": instance["id"],
                          "user": {"upn": "new@example.org", "name": "new"}, "plan": plan, "status": "Provisioned"}
                         for n in range(many)]  # fmt: skip
        quoted = quote(_customer(bill, name), book, items, DAY)
        others = [one for one in world.entities if one["kind"] != "subscription"]
        later = Bill(catalog=world.catalog, usage=world.usage, day=DAY, entities=[*others, *entities])
        lines = [_by_status(one, name, units) for one in (bill, later)]
        touched = _touched(items)
        prices = [unit_price(_customer(bill, name), plans[plan], book, DAY) for plan in touched]
        if None in prices or len({one.currency for side in lines for one in side}) > 1:
            assert quoted.difference is None or len({plans[plan].currency for plan in touched}) == 1
            continue
        before, after = (sum((line.total for line in side), Decimal(0)) for side in lines)
        assert quoted.difference == after - before
        assert quoted.after is not None
        assert quoted.before is not None
        assert quoted.after - quoted.before == quoted.difference


def _by_status(bill: Bill, customer: str, units: list[BillingUnit]) -> list[Line]:
    named = {unit.id for unit in units}
    return [line for (_, unit), line in bill.all_lines().items() if line.customer == customer and unit in named]


def _touched(items: list[PlanAdded | PlanChangedFor]) -> list[str]:
    found = [[one.plan] if isinstance(one, PlanAdded) else [one.from_plan, one.to_plan] for one in items]
    return [plan for some in found for plan in some]


def _customer(bill: Bill, name: str) -> Customer:
    return Customer(
        id=name,
        name=name,
        chain=bill.chain(name),
        location=bill.inherited("location", name),
        language=None,
        currency=bill.inherited("currency", name),
        imported=False,
    )


def _priced(document: CatalogDocument, plan: Plan, units: list[BillingUnit]) -> PricedPlan:
    said = [one for one in document.services[0].overrides if one.plan == plan.id]
    values = PlanValues(
        plan.properties,
        {one.organisation: one.properties for one in said if one.organisation},
        {one.location: one.properties for one in said if one.location},
        plan.currency,
        {
            f"organisation:{one.organisation}" if one.organisation else f"location:{one.location}": one.currency
            for one in said
            if one.currency
        },
    )
    return PricedPlan(plan.id, "S", plan.name, plan.type, plan.currency, values, units)


def test_the_worlds_have_everything() -> None:
    """Otherwise the test above would prove less than it says."""
    lines = [
        line
        for seed in range(40)
        for world in [World(seed)]
        for line in Bill(catalog=world.catalog, usage=world.usage, day=DAY, entities=world.entities)
        .all_lines()
        .values()
    ]
    seen = {flag for line in lines for flag in line.flags.split()}
    assert seen >= {"no_price", "no_level_price", "other_currency", "unlimited", "minimum", "maximum", "non_billable"}
    assert {len(line.level_totals.split()) for line in lines} >= set(range(7))
    assert any("converted:" in (line.source or "") for line in lines)


async def computed(connection: Any, world: World) -> dict[tuple[str, str], Line]:
    """The lines by the statements that transfers use; nothing of it stays."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await _enter(connection, world)
        await connection.execute("SET LOCAL enable_nestloop = off; SET LOCAL jit = off")
        customers = await lines_store.prepare_work(connection, DAY)
        lines = await lines_store.compute_lines(connection, customers=customers, rows_per_part=100, usage_day=DAY)
    finally:
        await transaction.rollback()
    rows = [row for part in lines.parts for row in json.loads(f"[{part.rows}]")]
    named = [dict(zip(LINE_COLUMNS, row, strict=True)) for row in rows]
    return {(line["object_id"], line["unit"]): read_line(line) for line in named}


async def _enter(connection: Any, world: World) -> None:
    document = CatalogDocument.model_validate(world.catalog)
    await catalog_store.replace_service(connection, document.services[0])
    await catalog_store.replace_rules(connection, document.non_billable or [])
    await catalog_store.replace_rates(connection, document.conversion_rates or [])
    units = json.dumps([unit.model_dump() for unit in document.services[0].billing_units])
    await connection.execute("INSERT INTO schema_version VALUES ('S', 1, $1, now(), 'test', '')", units)
    numbers: dict[str, int] = {}
    for one in world.entities:
        match one["kind"]:
            case "organisation":
                numbers[one["id"]] = await connection.fetchval(
                    "INSERT INTO organisation (id, type, parent, name, location, currency, "
                    "source_partition, source_offset) VALUES ($1, $2, $3, $4, $5, $6, 0, 0) RETURNING organisation_no",
                    one["id"], one["type"], one.get("parent"), one["name"], one.get("location"), one.get("currency"),
                )  # fmt: skip
            case "service_instance":
                place = await _object(connection, numbers[one["customer"]], one)
                numbers[one["id"]] = place[0]
                numbers[f"{one['id']} object"] = place[1]
                await connection.execute(
                    "INSERT INTO service_instance "
                    "VALUES ($1, $2, $3, 'S', $4, $5, true, false, '{}', '{}', NULL, 0, 0)",
                    *place, one["id"], one["plan"], one["status"],
                )  # fmt: skip
            case _:
                place = await _object(connection, numbers[one["instance"]], one)
                await connection.execute(
                    "INSERT INTO subscription VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, 0, 0)",
                    *place, one["id"], numbers[f"{one['instance']} object"], one["plan"], one["status"],
                    one["user"]["upn"], one["user"]["name"],
                )  # fmt: skip
                if ("C", one["id"]) in world.usage:
                    await connection.execute(
                        "INSERT INTO usage_sample SELECT $1, $2, $3, counter_no, now(), $4, now(), 1 FROM counter",
                        DAY, *place, Decimal(world.usage["C", one["id"]]),
                    )  # fmt: skip


async def _object(connection: Any, customer: int, entity: dict[str, Any]) -> tuple[int, int]:
    number = await connection.fetchval(
        "INSERT INTO billable_object (customer_no, id, kind) VALUES ($1, $2, $3) RETURNING object_no",
        customer, entity["id"], entity["kind"],
    )  # fmt: skip
    return customer, number
