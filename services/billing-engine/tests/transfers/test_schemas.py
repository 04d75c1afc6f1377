"""Editing, previewing, publishing and taking back a service's schema."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from billing_engine.billing_units import service as schemas
from billing_engine.billing_views.model import Dates
from billing_engine.catalog import service as catalog_service
from billing_engine.transfers.preview import UnknownCustomerError, preview
from engine_bench import Bench
from tallyport.contracts.catalog import CatalogDocument

DAY = datetime.now(UTC).date() - timedelta(days=1)
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "P", "name": "Phones", "counters": [{"name": "Minutes", "unit": "min"}],
        "plans": [
            {"id": "P-U", "type": "user_plan", "name": "User", "currency": "EUR",
             "properties": {"sales_price": "5.00", "pro_price": "7.00", "word": "none"}},
        ],
        "billing_units": [{"id": "seat", "plan_type": "user_plan", "unit": "user"}],
    }],
}  # fmt: skip


def _catalog(*units: dict[str, Any]) -> dict[str, Any]:
    document = copy.deepcopy(CATALOG)
    document["services"][0]["billing_units"] = list(units)
    return document


SEAT = {"id": "seat", "plan_type": "user_plan", "unit": "user"}


async def _draft(bench: Bench, *units: dict[str, Any]) -> None:
    async with bench.engine.messaging.unit_of_work() as uow:
        await catalog_service.apply(uow, CatalogDocument.model_validate(_catalog(*units)))


def _customer(name: str, users: int) -> list[dict[str, Any]]:
    return [
        {"kind": "organisation", "id": name, "type": "customer", "name": name, "currency": "EUR"},
        {"kind": "service_instance", "id": f"{name}-p", "customer": name, "service": "P", "status": "Provisioned"},
        *({"kind": "subscription", "id": f"{name}-{n}", "instance": f"{name}-p", "plan": "P-U", "status": "Provisioned",
           "user": {"upn": f"{n}@{name}", "name": str(n)}} for n in range(users)),
    ]  # fmt: skip


async def test_a_preview_shows_who_would_pay_what_and_writes_nothing(bench: Bench) -> None:
    await bench.directory(*_customer("small", 1), *_customer("large", 3))
    await bench.caught_up()
    await bench.catalog(CATALOG)
    fee = SEAT | {"id": "fee", "price_model": {"model": "flat", "maximum": "1"}}
    await _draft(bench, SEAT | {"price": "pro_price"}, fee)
    async with bench.pool.acquire() as connection:
        units = await schemas.draft(connection, "P")
        current = await schemas.newest(connection, "P")
        assert current is not None
        both = {
            "published": schemas.units_of(current),
            "draft": units,
            "dates": Dates(DAY + timedelta(days=1), DAY),
            "views": bench.engine.views,
        }
        before = await _written(connection)
        found = await preview(connection, "P", **both)
        assert await _written(connection) == before
        one = await preview(connection, "P", **both, customer="small")
        with pytest.raises(UnknownCustomerError, match="'nobody' has no billed service"):
            await preview(connection, "P", **both, customer="nobody")
    changed = [
        (one.customer, str(one.before.total), str(one.after.total), one.before.lines, one.after.lines)
        for one in found.changed
    ]
    assert changed == [("large", "15.00", "24.00", 3, 6), ("small", "5.00", "8.00", 1, 2)]
    assert (str(found.before["EUR"].total), str(found.after["EUR"].total)) == ("20.00", "32.00")
    assert [(c.customer, str(c.difference)) for c in one.changed] == [("small", "3.00")]


async def _written(connection: Any) -> Any:
    return await connection.fetchrow(
        "SELECT (SELECT count(*) FROM transfer), (SELECT count(*) FROM batch_chunk), "
        "(SELECT string_agg(v::text, '') FROM schema_version v), (SELECT string_agg(d::text, '') FROM schema_draft d)"
    )


async def test_history_only_grows(bench: Bench) -> None:
    await _draft(bench, SEAT | {"price": "pro_price"})
    async with bench.pool.acquire() as connection:
        changes = await schemas.compare(connection, "P")
    assert [(c.action, c.unit, c.field, c.before, c.after) for c in changes] == [
        ("changed", "seat", "price", "sales_price", "pro_price")
    ]
    async with bench.engine.messaging.unit_of_work() as uow:
        assert (await schemas.publish(uow, "P", by="ann", reason="dearer")).version == 2
    async with bench.engine.messaging.unit_of_work() as uow:
        assert not (await schemas.publish(uow, "P", by="ann", reason="again")).changed
    async with bench.engine.messaging.unit_of_work() as uow:
        assert (await schemas.revert(uow, "P", 1, by="bob", reason="")).version == 3
    async with bench.pool.acquire() as connection:
        versions = await schemas.history(connection, "P", 10)
        assert await schemas.compare(connection, "P") == []
    told = [(one["version"], one["published_by"], one["reason"], one["units"][0]["price"]) for one in versions]
    assert told == [
        (3, "bob", "back to version 1", "sales_price"),
        (2, "ann", "dearer", "pro_price"),
        (1, "test", "test", "sales_price"),
    ]
    async with bench.engine.messaging.unit_of_work() as uow:
        with pytest.raises(schemas.UnknownServiceError, match="no version 9"):
            await schemas.revert(uow, "P", 9, by="bob", reason="")


TIERED = {"model": "graduated", "tiers": [{"up_to_inclusive": "9", "price": "a"}, {"price": "1"}]}
PACKED = {"model": "package", "size": "lot"}


@pytest.mark.parametrize(
    ("unit", "faults"),
    [
        (SEAT | {"price": "pice"}, [("billing_units.0.price", "no user_plan of service 'P' has a property 'pice'")]),
        (SEAT | {"price": "word"}, [("billing_units.0", "")]),
        (SEAT | {"quantity": {"counter": "Hours"}}, [("billing_units.0.quantity.counter", "not declared")]),
        (SEAT | {"price_model": TIERED}, [("billing_units.0.price_model.tiers.0.price", "'a'")]),
        (SEAT | {"price_model": PACKED}, [("billing_units.0.price_model.size", "'lot'")]),
    ],
)
async def test_what_cannot_be_published_says_where(
    bench: Bench, unit: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    found: list[Any] = []
    published = await bench.fetch("SELECT max(version) FROM schema_version WHERE service = 'P'")
    try:
        await _draft(bench, unit)
        async with bench.engine.messaging.unit_of_work() as uow:
            await schemas.publish(uow, "P", by="ann", reason="")
    except catalog_service.InvalidCatalogError as error:
        found = [(fault.field.removeprefix("services.0."), fault.message) for fault in error.faults]
    except schemas.UnpublishableSchemaError as error:
        found = [(fault.field, fault.message) for fault in error.faults]
    assert len(found) == len(faults)
    for (field, message), (path, words) in zip(found, faults, strict=True):
        assert field.startswith((path, "plans.0.properties"))
        assert words in message
    assert await bench.fetch("SELECT max(version) FROM schema_version WHERE service = 'P'") == published
