"""What is charged by hand is a line of the next batch, once, and traceable."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from billing_engine.adjustments.model import Adjustment
from billing_engine.adjustments.service import AdjustmentRefusedError, AdjustmentService, UnknownAdjustmentError
from engine_bench import Bench

TODAY = datetime.now(UTC).date()


async def _customer(bench: Bench) -> None:
    await bench.directory(
        {"kind": "organisation", "id": "root", "type": "service_provider", "name": "Root", "currency": "EUR"},
        {"kind": "organisation", "id": "mid", "type": "value_added_reseller", "parent": "root", "name": "Mid"},
        {"kind": "organisation", "id": "cust", "type": "customer", "parent": "mid", "name": "Cust"},
    )
    await bench.caught_up()


async def _create(bench: Bench, amount: str, service: AdjustmentService | None = None, **fields: Any) -> Adjustment:
    usual = {"customer": "cust", "currency": "EUR", "description": "Outage", "reason": "goodwill", "service": None,
             "reference": "T-1", "author": "ann"}  # fmt: skip
    return await (service or bench.engine.adjustments).create(amount=Decimal(amount), **(usual | fields))


async def _batch(bench: Bench, day: date, state: str = "done") -> list[dict[str, Any]]:
    lines = await bench.transfer(day)
    await bench.fetch("UPDATE transfer SET state = $2 WHERE batch_date = $1 AND state = 'running'", day, state)
    return [line for line in lines if line["kind"] == "adjustment"]


async def test_an_adjustment_is_billed_once_and_again_only_by_a_new_revision(bench: Bench) -> None:
    await _customer(bench)
    entered = await _create(bench, "-12.5")
    assert await _batch(bench, TODAY - timedelta(days=9), "failed") != []
    (line,) = await _batch(bench, TODAY)
    assert {name: line[name] for name in ("customer_id", "object_id", "quantity", "sales_price", "total", "currency",
                                          "flags", "price_source", "level_totals", "cost_total", "unit_code")} == {
        "customer_id": "cust", "object_id": f"adjustment-{entered.id}", "quantity": "1", "sales_price": "-12.50",
        "total": "-12.50", "currency": "EUR", "flags": "reason:goodwill", "price_source": "author:ann",
        "level_totals": "-12.50", "cost_total": "0.00", "unit_code": "T-1",
    }  # fmt: skip
    assert await _batch(bench, TODAY) == [line]
    assert await _batch(bench, TODAY - timedelta(days=9)) == []
    with pytest.raises(AdjustmentRefusedError, match="; create one of the opposite amount"):
        await bench.engine.adjustments.withdraw(entered.id, by="ann")
    found = await bench.fetch("SELECT totals FROM transfer WHERE batch_date = $1 AND state = 'done'", TODAY)
    assert "-12.50" in found[-1]["totals"]


async def test_a_second_person_approves_where_that_is_asked_for(bench: Bench) -> None:
    await _customer(bench)
    careful = AdjustmentService(bench.engine.messaging.unit_of_work, needs_approval=True)
    entered = await _create(bench, "3", careful)
    assert await _batch(bench, TODAY - timedelta(days=20)) == []
    with pytest.raises(AdjustmentRefusedError, match="somebody else has to approve it"):
        await careful.approve(entered.id, by="ann")
    assert (await careful.approve(entered.id, by="bob")).state == "approved"
    (line,) = await _batch(bench, TODAY - timedelta(days=19))
    assert line["price_source"] == "author:ann approved:bob"


async def test_what_is_withdrawn_is_not_billed_even_where_it_was_frozen(bench: Bench) -> None:
    await _customer(bench)
    entered = await _create(bench, "7")
    day = TODAY - timedelta(days=18)
    assert await _batch(bench, day, "failed") != []
    assert (await bench.engine.adjustments.withdraw(entered.id, by="bob")).state == "withdrawn"
    with pytest.raises(ValueError, match="was withdrawn; begin a new revision"):
        await bench.engine.transfers.resume(day, None)
    assert await _batch(bench, day) == []


async def test_wrong_amounts_and_customers_are_refused(bench: Bench) -> None:
    await _customer(bench)
    with pytest.raises(AdjustmentRefusedError, match="5 has more than the 2 decimals of EUR"):
        await _create(bench, "1.005")
    with pytest.raises(AdjustmentRefusedError, match="more than the 0 decimals of JPY"):
        await _create(bench, "1.5", currency="JPY")
    with pytest.raises(UnknownAdjustmentError, match="no customer 'nobody'"):
        await _create(bench, "1", customer="nobody")


async def test_what_was_said_cannot_be_edited(bench: Bench) -> None:
    async with bench.pool.acquire() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE adjustment SET amount = 1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM adjustment")
