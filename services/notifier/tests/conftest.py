"""A notifier on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from aiokafka import AIOKafkaProducer
from gate_bench import GateBench
from notifier.app import Notifier
from notifier.settings import NotifierSettings
from prometheus_client import CollectorRegistry
from tallyport.settings import KafkaSettings
from tallyport_local.testing import Connect


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gate(connect: Connect, kafka: KafkaSettings, sender: AIOKafkaProducer) -> AsyncIterator[GateBench]:
    """A notifier of its own for each module."""
    made, pool = await connect("notifier")
    notifier = Notifier(NotifierSettings.model_construct(kafka=kafka, database=made.runtime), pool, CollectorRegistry())
    async with notifier.running():
        yield GateBench(notifier, pool, kafka, sender)
