"""The report builder as a process of its own, and a batch that comes to it over Kafka."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

from aiokafka import AIOKafkaProducer
from tallyport.messaging.envelope import Envelope
from tallyport.settings import KafkaSettings

TOKEN = "a token for tests"  # noqa: S105
DAY = date(2026, 11, 21)


@asynccontextmanager
async def running(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "report_builder", "serve", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(15):
                await process.wait()


async def publish(kafka: KafkaSettings, made: Any) -> None:
    state = made.published()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, max_request_size=6_000_000) as producer:
        for record in made.records:
            await producer.send(
                kafka.topic("billing.quantities"),
                key=str(record.offset).encode(),
                value=record.value,
                headers=list(record.headers),
            )
        envelope = Envelope("published", "/tallyport/billing-engine", state.TYPE, datetime(2026, 11, 22, tzinfo=UTC))
        await producer.send_and_wait(
            kafka.topic("warehouse.transfers"),
            key=DAY.isoformat().encode(),
            value=state.write(),
            headers=list(envelope.headers()),
        )
