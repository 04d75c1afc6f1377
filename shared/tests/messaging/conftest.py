"""A service's tables, of which the messaging core's are tested here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from tallyport.postgres.pool import open_pool
from tallyport_local.testing import MakeDatabase, ServiceDatabase


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service_database(database: MakeDatabase) -> ServiceDatabase:
    return await database("notifier")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(service_database: ServiceDatabase) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    opened = await open_pool(service_database.runtime, "test")
    yield opened
    await opened.close()
