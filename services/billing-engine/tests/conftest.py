"""An engine on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio
from billing_engine.app import Engine
from billing_engine.settings import EngineSettings
from engine_bench import Bench
from prometheus_client import CollectorRegistry
from tallyport.messaging.kafka import producer
from tallyport.postgres.pool import open_pool
from tallyport.settings import KafkaSettings
from tallyport_local.testing import MakeDatabase


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bench(database: MakeDatabase, kafka: KafkaSettings) -> AsyncIterator[Bench]:
    """An engine of its own for each module."""
    made = await database("billing_engine")
    settings = EngineSettings.model_construct(kafka=kafka, database=made.runtime)
    async with AsyncExitStack() as stack:
        pool = await open_pool(made.runtime, "test")
        stack.push_async_callback(pool.close)
        engine = Engine(settings, pool, CollectorRegistry())
        await stack.enter_async_context(engine.running())
        client = await stack.enter_async_context(producer(kafka, "test"))
        yield Bench(engine, pool, kafka, client)
