"""A consumer that hangs is found, although broker, database and process all answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from tallyport.clock import SystemClock
from tallyport.contracts.catalog import PlanChanged
from tallyport.messaging import runtime as runtime_module
from tallyport.messaging.dispatch import EventDispatcher, Subscription
from tallyport.messaging.envelope import Envelope, new_event_id
from tallyport.messaging.kafka import producer
from tallyport.messaging.record import Event
from tallyport.messaging.runtime import MessagingRuntime
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until
from tallyport_local.testing import Connect, Infrastructure

STALL_SECONDS = 0.5
GROUP = "test.plans"


async def _publish(kafka: KafkaSettings, name: str) -> None:
    data = PlanChanged(id=name, service="HE", type="user_plan", name=name, currency="EUR", properties={})
    headers = list(Envelope(new_event_id(), "/test", PlanChanged.TYPE, datetime.now(UTC)).headers())
    async with producer(kafka, "test") as client:
        await client.send_and_wait(kafka.topic("catalog.changes"), value=data.write(), key=b"k", headers=headers)


async def test_readiness_is_red_while_the_position_stands_still_under_lag(
    kafka: KafkaSettings,
    infrastructure: Infrastructure,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime_module, "MEASURE_SECONDS", 0.05)
    service_database, pool = await connect("notifier")
    applied: list[str] = []

    async def handle(_uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        applied.extend(event.data.id for event in events)

    messaging = MessagingRuntime(
        service="test",
        kafka=kafka,
        database=service_database.runtime,
        pool=pool,
        clock=SystemClock(),
        registry=CollectorRegistry(),
        stall_seconds=STALL_SECONDS,
    )
    dispatch = EventDispatcher(handle, {PlanChanged.TYPE: PlanChanged.read}, messaging.sources)
    messaging.subscribe([Subscription("catalog.changes", GROUP, dispatch)])

    async def ready() -> bool:
        return await messaging.reasons_not_ready() == []

    async with messaging:
        await _publish(kafka, "first")

        async def first_applied() -> bool:
            return applied == ["first"]

        await until(first_applied)
        await until(ready)

        # Somebody holds the inbox, so the poll waits in the database: nothing fails, and nothing moves.
        dsn = f"{infrastructure.admin_dsn.rpartition('/')[0]}/{service_database.name}"
        admin = await asyncpg.connect(dsn, password=infrastructure.admin_password)
        try:
            async with admin.transaction():
                await admin.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
                await _publish(kafka, "second")
                reasons: list[str] = []

                async def red() -> bool:
                    reasons[:] = await messaging.reasons_not_ready()
                    return bool(reasons)

                await until(red)
                assert [reason.partition(":")[0] for reason in reasons] == [GROUP]
                assert "1 records wait, the position has not moved for" in reasons[0]
                assert applied == ["first"]
        finally:
            await admin.close()
        await until(ready)
        assert applied == ["first", "second"]
        (progress,) = await messaging.progress()
        assert (progress.lag, progress.stalled) == (0, False)
