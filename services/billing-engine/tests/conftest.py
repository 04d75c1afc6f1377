"""An engine on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from aiokafka import AIOKafkaProducer
from billing_engine.app import Engine
from billing_engine.settings import EngineSettings, ViewsDatabaseSettings
from engine_bench import Bench
from engine_http import CATALOG, TREE, Caller, face
from prometheus_client import CollectorRegistry
from tallyport.settings import KafkaSettings
from tallyport_local.testing import Connect


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bench(connect: Connect, kafka: KafkaSettings, sender: AIOKafkaProducer) -> AsyncIterator[Bench]:
    """An engine of its own for each module."""
    made, pool = await connect("billing_engine")
    assert made.views is not None
    views = ViewsDatabaseSettings(dsn=made.views.dsn, password=made.views.password, run_timeout_seconds=20)
    settings = EngineSettings.model_construct(kafka=kafka, database=made.runtime, views_database=views)
    engine = Engine(settings, pool, CollectorRegistry())
    async with engine.running():
        yield Bench(engine, pool, kafka, sender, made)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def call(bench: Bench) -> AsyncIterator[Caller]:
    """The engine over HTTP, with a sales tree and a catalogue of two services."""
    await bench.directory(*TREE)
    await bench.caught_up()
    await bench.catalog({**CATALOG, "services": CATALOG["services"][:1]})
    caller = Caller(face(bench))
    answer = await caller("root", "PUT", "/v1/catalog", json=CATALOG)
    assert answer.status_code == 200, answer.text
    yield caller
    await caller.close()
