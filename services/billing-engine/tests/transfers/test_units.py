"""What each field of a billing unit does to a line, and which lines are not charged."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from billing_engine.catalog import service as catalog_service
from engine_bench import Bench
from pydantic import ValidationError
from tallyport.contracts.catalog import BillingUnit, CatalogDocument
from tallyport.contracts.rules import NonBillableRule

TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=1)
NOON = datetime.combine(DAY, time(12), UTC)


def _unit(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "plan_type": "user_plan", "unit": "user"} | fields


UNITS = [
    {"id": "base", "plan_type": "customer_plan", "unit": "instance", "order": 3,
     "description": "{service_name} of {customer_name}, {site_name}: 100% {plan_name}"},
    _unit("seat", order=1, description="{user_name} ({stock_code})"),
    _unit("gigabytes", order=2, quantity={"counter": "MB"}, convert={"from": "MB", "to": "GB"}, price="price_per_gb",
          price_model={"model": "included", "included": "gift_gb", "minimum": "1.00"}),
    _unit("retired", active=False),
    {"id": "app", "plan_type": "application", "unit": "application", "order": 4, "price": "price_per_app",
     "description": "{application_name} of {user_name}"},
]  # fmt: skip
PROPERTIES = {
    "sales_price": "4.00",
    "price_per_gb": "0.50",
    "gift_gb": "2",
    "price_per_app": "1.50",
    "stock_code": "ST",
}
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "S", "name": "Storage", "counters": [{"name": "MB", "unit": "MB"}], "billing_units": UNITS,
        "plans": [
            {"id": "S-C", "type": "customer_plan", "name": "Company", "currency": "EUR",
             "properties": {"sales_price": "10.00"}},
            {"id": "S-U", "type": "user_plan", "name": "User", "currency": "EUR", "properties": PROPERTIES},
            {"id": "S-USD", "type": "user_plan", "name": "User $", "currency": "USD", "properties": PROPERTIES},
        ],
    }],
    "non_billable": [
        {"id": "long ago", "reason": "trial", "user": "*", "valid_to": str(DAY - timedelta(days=1))},
        {"id": "staff", "reason": "internal", "organisation": "reseller", "user": "*_ADMIN@*",
         "valid_from": str(DAY), "valid_to": str(DAY)},
        {"id": "later", "reason": "shadowed", "user": "*_admin@*"},
        {"id": "test apps", "reason": "test", "service": "S", "status": "Pending"},
    ],
}  # fmt: skip


def _user(name: str, plan: str = "S-U", upn: str | None = None) -> dict[str, Any]:
    user = {"upn": upn or f"{name}@acme.example", "name": name.title()}
    return {"kind": "subscription", "id": name, "instance": "s-1", "plan": plan, "status": "Provisioned", "user": user}


DIRECTORY: list[dict[str, Any]] = [
    {"kind": "organisation", "id": "provider", "type": "service_provider", "name": "Provider", "currency": "EUR"},
    {"kind": "organisation", "id": "reseller", "type": "value_added_reseller", "parent": "provider", "name": "North"},
    {"kind": "organisation", "id": "acme", "type": "customer", "parent": "reseller", "name": "Acme {plan_name}"},
    {"kind": "site", "id": "site-1", "customer": "acme", "name": "Harbour"},
    {
        "kind": "service_instance",
        "id": "s-1",
        "customer": "acme",
        "service": "S",
        "plan": "S-C",
        "status": "Provisioned",
    },
    _user("ann"),
    _user("bob", "S-USD"),
    _user("root", upn="x_admin@acme.example"),
    _user("xadmin"),
    {"kind": "application", "id": "app-1", "subscription": "ann", "name": "Draw", "status": "Provisioned"},
    {"kind": "application", "id": "app-2", "subscription": "ann", "name": "Write", "status": "Pending"},
]


async def test_what_each_field_does(bench: Bench) -> None:
    await bench.directory(*DIRECTORY)
    await bench.caught_up()
    await bench.catalog(CATALOG)
    measured = {"ann": "5500", "bob": "5500", "root": "9000", "xadmin": "2100"}
    await bench.usage("MB", DAY, measured, measured_at=NOON)
    await bench.caught_up()
    lines = await bench.transfer()
    columns = ("unit", "object_id", "description", "quantity", "sales_price", "total", "flags")
    assert [tuple(line[name] for name in columns) for line in lines] == [
        ("seat", "ann", "Ann (ST)", "1", "4.00", "4.00", ""),
        # A price in another currency than the customer's is no price; nothing is converted.
        ("seat", "bob", "Bob (ST)", "1", None, "0.00", "no_price other_currency"),
        ("seat", "root", "Root (ST)", "1", "4.00", "0.00", "non_billable reason:internal"),
        ("seat", "xadmin", "Xadmin (ST)", "1", "4.00", "4.00", ""),
        # 5.5 GB, of which 2 are included: 3.5 x 0.50
        ("gigabytes", "ann", "Ann", "5.5", None, "1.75", ""),
        ("gigabytes", "bob", "Bob", "5.5", None, "0.00", "no_price other_currency"),
        ("gigabytes", "root", "Root", "9", None, "0.00", "non_billable reason:internal"),
        # 0.1 GB above what is included would be 0.05, but a line costs 1.00 at least.
        ("gigabytes", "xadmin", "Xadmin", "2.1", None, "1.00", "minimum"),
        ("base", "s-1", "Storage of Acme {plan_name}, Harbour: 100% Company", "1", "10.00", "10.00", ""),
        ("app", "app-1", "Draw of Ann", "1", "1.50", "1.50", ""),
        ("app", "app-2", "Write of Ann", "1", "1.50", "0.00", "non_billable reason:test"),
    ]
    by_unit = {line["unit"]: line for line in lines if line["object_id"] in {"ann", "app-1"}}
    assert by_unit["gigabytes"]["quantity_source"] == f"counter:MB:{DAY}:MB->GB"
    assert by_unit["gigabytes"]["price_source"] == "included:plan,unit"
    assert by_unit["app"]["plan_type"] == "application"


async def test_rules_are_part_of_the_catalogue(bench: Bench) -> None:
    async with bench.pool.acquire() as connection:
        stored = await catalog_service.read(connection)
        assert stored is not None
        assert [rule.id for rule in stored.non_billable or []] == ["long ago", "staff", "later", "test apps"]
        again = stored.model_copy(update={"non_billable": [*reversed(stored.non_billable or [])]})
        assert len(await catalog_service.compare(connection, again)) == len(again.non_billable or [])
        assert await catalog_service.compare(connection, stored.model_copy(update={"non_billable": None})) == []


@pytest.mark.parametrize(
    ("rule", "field", "words"),
    [
        ({"id": "staff", "reason": "x", "user": "*"}, "non_billable.1", "twice"),
        ({"id": "r", "reason": "x", "service": "NO"}, "non_billable.1.service", "no service 'NO'"),
        ({"id": "r", "reason": "x", "service": "S", "plan": "NO"}, "non_billable.1.plan", "not a plan of 'S'"),
        ({"id": "r", "reason": "x", "plan": "NO"}, "non_billable.1.plan", "not a plan"),
    ],
)
async def test_a_rule_about_nothing_is_refused(bench: Bench, rule: dict[str, Any], field: str, words: str) -> None:
    document = CatalogDocument.model_validate(
        CATALOG | {"non_billable": [{"id": "staff", "reason": "a", "user": "*"}, rule]}
    )
    async with bench.pool.acquire() as connection:
        with pytest.raises(catalog_service.InvalidCatalogError) as caught:
            await catalog_service.compare(connection, document)
    assert [(fault.field, words in fault.message) for fault in caught.value.faults] == [(field, True)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"description": "{user_nam}"}, r"no field \{user_nam\}; known: \{user_name\}"),
        ({"description": "{}"}, r"no field \{\}"),
        ({"description": "100 } percent"}, "without its partner"),
        ({"description": "{application_name}"}, r"a line of unit 'user' has no \{application_name\}"),
        ({"convert": {"from": "MB", "to": "GB"}}, "only a quantity that is measured"),
        ({"quantity": {"counter": "MB"}, "convert": {"from": "min", "to": "h"}}, "no exact factor"),
        ({"plan_type": "application"}, "priced by a user_plan"),
    ],
)
def test_a_unit_that_makes_no_sense_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        BillingUnit.model_validate(_unit("u", **fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "every line"),
        ({"user": "*", "valid_from": "2026-05-02", "valid_to": "2026-05-01"}, "before valid_from"),
        ({"user": "*", "reason": "two words"}, "pattern"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        NonBillableRule.model_validate({"id": "r", "reason": "x"} | fields)
