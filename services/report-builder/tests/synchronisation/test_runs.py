"""What the collectors say on ``collection.runs``, as the service reads it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from report_builder.schedules.stream import collection_subscription
from report_builder.synchronisation import service
from tallyport.contracts.collection import CollectionRun
from tallyport.messaging.envelope import Envelope
from tallyport.messaging.inbox import SourceNumbers
from tallyport.messaging.record import Record

BEGIN = datetime(2026, 11, 22, 2, tzinfo=UTC)


def record(number: int, **said: Any) -> Record:
    data = CollectionRun(
        **{
            "source": "ad", "state": "succeeded", "started_at": BEGIN, "finished_at": BEGIN + timedelta(minutes=4),
            "samples": 0, "objects": 3, "customers_reached": 2, **said,
        }
    )  # fmt: skip
    envelope = Envelope(id=f"event-{number}", source="/collector", type=CollectionRun.TYPE, time=BEGIN)
    return Record("collection.runs", 0, number, b"run", data.write(), envelope.headers(), 0)


async def test_inventories_are_kept_once_and_readings_of_usage_are_not(
    pool: asyncpg.Pool[asyncpg.Record], units_of_work: Any
) -> None:
    others: list[str] = []

    async def other(_uow: Any, events: Any) -> None:
        others.extend(event.data.run_id for event in events)

    process = collection_subscription([other, service.on_runs], SourceNumbers(pool)).process
    records = [
        record(1, run_id="usage"),
        record(2, run_id="night", kind="inventory", customers_not_reached=["b", "a"], customers_not_reached_count=150),
        record(3, run_id="night", kind="inventory", objects=99),
        record(4, run_id="night", kind="inventory", source="ex", state="failed", failure_count=7),
    ]
    for _ in range(2):
        async with units_of_work("report-builder.collection") as uow:
            await process.apply(uow, process.read(records, uow.reject))
    assert others == ["usage", "night", "night", "night"]
    async with pool.acquire() as connection:
        found = await service.terms(connection, None, date(2026, 11, 22))
        assert found == await service.terms(connection, "night", date(2020, 1, 1))
        assert await service.terms(connection, None, date(2026, 11, 21)) is None
        assert await service.terms(connection, "usage", date(2026, 11, 22)) is None
    assert found is not None
    assert [(one["source"], one["objects"], one["failure_count"]) for one in found["sources"]] == [
        ("ad", 3, 0), ("ex", 3, 7),
    ]  # fmt: skip
    assert (found["sources"][0]["not_reached"], found["sources"][0]["not_reached_count"]) == (["a", "b"], 150)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute("UPDATE inventory_run SET objects = 1")
