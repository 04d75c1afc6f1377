"""A poll is read while the one before is applied; nothing is skipped, and the order stays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaConsumer
from prometheus_client import CollectorRegistry
from tallyport.clock import SystemClock
from tallyport.messaging import consumer as consumer_module
from tallyport.messaging.dispatch import Refuse, Subscription
from tallyport.messaging.envelope import Envelope, new_event_id
from tallyport.messaging.kafka import client_arguments, producer
from tallyport.messaging.record import Record
from tallyport.messaging.runtime import MessagingRuntime
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until
from tallyport_local.testing import Connect

RECORDS = 40


class Clumsy:
    """Reads numbers; stumbles over every fifth record the first time, and applies nothing before it has read ahead."""

    def __init__(self) -> None:
        self.stumbled: set[int] = set()
        self.applied: list[int] = []
        self.read_ahead = asyncio.Event()
        self._read = 0

    def read(self, records: Sequence[Record], _refuse: Refuse) -> list[int]:
        for record in records:
            if record.offset % 5 == 0 and record.offset not in self.stumbled:
                self.stumbled.add(record.offset)
                raise RuntimeError("a defect")
        self._read += len(records)
        if self._read > len(records):
            self.read_ahead.set()
        return [int(record.value or b"") for record in records]

    async def apply(self, _uow: UnitOfWork, readings: Sequence[int]) -> None:
        await self.read_ahead.wait()
        self.applied += readings


async def test_a_defect_in_reading_skips_nothing_and_polls_are_applied_in_order(
    kafka: KafkaSettings, connect: Connect
) -> None:
    database, pool = await connect("notifier")
    clumsy = Clumsy()
    messaging = MessagingRuntime(
        service="test", kafka=kafka, database=database.runtime, pool=pool, clock=SystemClock(),
        registry=CollectorRegistry(),
    )  # fmt: skip
    messaging.subscribe([Subscription("catalog.changes", "test.order", clumsy, max_records=4)])
    async with producer(kafka, "test") as client:
        for number in range(RECORDS):
            headers = list(Envelope(new_event_id(), "/test", "number", datetime.now(UTC)).headers())
            await client.send_and_wait(
                kafka.topic("catalog.changes"), value=str(number).encode(), key=b"k", headers=headers
            )

    async def all_applied() -> bool:
        return len(clumsy.applied) >= RECORDS

    async with messaging:
        await until(all_applied, seconds=60, what="all records")
    assert clumsy.applied == list(range(RECORDS))
    assert len(clumsy.stumbled) == RECORDS // 5


class Hanging:
    """Never finishes applying."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.given_up = False

    def read(self, records: Sequence[Record], _refuse: Refuse) -> Sequence[Record]:
        return records

    async def apply(self, _uow: UnitOfWork, _readings: Sequence[Record]) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up = True


async def test_a_poll_that_hangs_does_not_hold_up_the_end(
    kafka: KafkaSettings, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "DRAIN_SECONDS", 0.2)
    database, pool = await connect("notifier")
    hanging = Hanging()
    messaging = MessagingRuntime(
        service="test", kafka=kafka, database=database.runtime, pool=pool, clock=SystemClock(),
        registry=CollectorRegistry(),
    )  # fmt: skip
    messaging.subscribe([Subscription("reports.requested", "test.hanging", hanging, max_records=1)])
    async with producer(kafka, "test") as client:
        for _ in range(4):
            await client.send_and_wait(kafka.topic("reports.requested"), value=b"1", key=b"k")
    async with asyncio.timeout(30):
        async with messaging:
            await hanging.began.wait()
    assert hanging.given_up


async def test_aiokafka_still_keeps_the_wait_where_it_is_changed(kafka: KafkaSettings) -> None:
    consumer = AIOKafkaConsumer(
        kafka.topic("catalog.changes"), **client_arguments(kafka, "test"), group_id=None, fetch_max_wait_ms=123
    )
    await consumer.start()
    try:
        assert consumer._fetcher._fetch_max_wait_ms == 123  # noqa: SLF001 - where the consumer changes it
    finally:
        await consumer.stop()
