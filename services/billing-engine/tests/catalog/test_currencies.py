"""Currencies of overrides, and dated rates: kept, compared, published, and refused where they contradict themselves."""

from __future__ import annotations

from typing import Any

import pytest
from billing_engine.catalog import service
from engine_bench import Bench
from pydantic import ValidationError
from tallyport.contracts.catalog import CatalogDocument

RATE = {"from": "EUR", "to": "USD", "rate": "1.080", "valid_from": "2026-01-01"}
PLAN = {"id": "P", "type": "user_plan", "name": "Plan", "currency": "EUR", "properties": {"sales_price": "1"}}
OVERRIDE = {"plan": "P", "organisation": "var", "currency": "USD", "properties": {"sales_price": "2"}}


def document(**more: Any) -> CatalogDocument:
    offer = {"id": "S", "name": "Service", "plans": [PLAN], "overrides": [OVERRIDE]}
    return CatalogDocument.model_validate({"services": [offer], **more})


async def test_what_is_applied_is_read_again(bench: Bench) -> None:
    wanted = document(conversion_rates=[RATE])
    async with bench.engine.messaging.unit_of_work() as uow:
        changes = await service.apply(uow, wanted)
        keys = [key for _, key, *_ in uow._outbox]  # noqa: SLF001 - what will be published is known nowhere else yet
    assert "conversion_rate:EUR>USD:2026-01-01" in {one.entity for one in changes}
    assert {b"conversion_rates", b"override:P:organisation:var"} <= set(keys)
    async with bench.pool.acquire() as connection:
        found = await service.read(connection)
        assert found is not None
        assert found.conversion_rates == wanted.conversion_rates
        assert found.services[0].overrides == wanted.services[0].overrides
        assert await service.compare(connection, wanted) == []
        assert await service.compare(connection, document()) == []
        other = await service.compare(connection, document(conversion_rates=[{**RATE, "rate": "1.1"}]))
        gone = await service.compare(connection, document(conversion_rates=[]))
    assert [(one.action, one.detail) for one in other] == [("changed", "1.080 -> 1.1")]
    assert [(one.action, one.entity) for one in gone] == [("removed", "conversion_rate:EUR>USD:2026-01-01")]


async def test_two_rates_of_a_day_contradict_each_other(bench: Bench) -> None:
    async with bench.pool.acquire() as connection:
        with pytest.raises(service.InvalidCatalogError) as caught:
            await service.compare(connection, document(conversion_rates=[RATE, {**RATE, "rate": "1.1"}]))
    assert [(fault.field, fault.message) for fault in caught.value.faults] == [
        ("conversion_rates.1", "'EUR>USD:2026-01-01' is there twice")
    ]


@pytest.mark.parametrize(
    ("wrong", "place", "words"),
    [
        ({"rate": "0"}, ("conversion_rates", 0, "rate"), "0 is not greater than 0"),
        ({"rate": "-1.5"}, ("conversion_rates", 0, "rate"), "-1.5 is not greater than 0"),
        ({"rate": 1.08}, ("conversion_rates", 0, "rate"), "a decimal is written as a JSON string"),
        ({"to": "EUR"}, ("conversion_rates", 0), "from and to are both EUR"),
        ({"valid_from": "soon"}, ("conversion_rates", 0, "valid_from"), "valid date"),
    ],
)
def test_a_bad_rate_is_named_by_its_place(wrong: dict[str, Any], place: tuple[str | int, ...], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        document(conversion_rates=[{**RATE, **wrong}])
    error = caught.value.errors()[0]
    assert error["loc"] == place
    assert words in error["msg"]
