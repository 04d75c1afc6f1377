"""A notifier on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio
from gate_bench import GateBench
from notifier.app import Notifier
from notifier.settings import NotifierSettings
from prometheus_client import CollectorRegistry
from tallyport.messaging.kafka import producer
from tallyport.postgres.pool import open_pool
from tallyport.settings import KafkaSettings
from tallyport_local.testing import MakeDatabase


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gate(database: MakeDatabase, kafka: KafkaSettings) -> AsyncIterator[GateBench]:
    """A notifier of its own for each module."""
    made = await database("notifier")
    settings = NotifierSettings.model_construct(kafka=kafka, database=made.runtime)
    async with AsyncExitStack() as stack:
        pool = await open_pool(made.runtime, "test")
        stack.push_async_callback(pool.close)
        notifier = Notifier(settings, pool, CollectorRegistry())
        await stack.enter_async_context(notifier.running())
        client = await stack.enter_async_context(producer(kafka, "test"))
        yield GateBench(notifier, pool, kafka, client)
