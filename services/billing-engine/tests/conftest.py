"""An engine on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from aiokafka import AIOKafkaProducer
from billing_engine.app import Engine
from billing_engine.settings import EngineSettings
from engine_bench import Bench
from prometheus_client import CollectorRegistry
from tallyport.settings import KafkaSettings
from tallyport_local.testing import Connect


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bench(connect: Connect, kafka: KafkaSettings, sender: AIOKafkaProducer) -> AsyncIterator[Bench]:
    """An engine of its own for each module."""
    made, pool = await connect("billing_engine")
    engine = Engine(EngineSettings.model_construct(kafka=kafka, database=made.runtime), pool, CollectorRegistry())
    async with engine.running():
        yield Bench(engine, pool, kafka, sender)
