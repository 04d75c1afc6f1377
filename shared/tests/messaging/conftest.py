"""A service's tables, of which the messaging core's are tested here."""

from __future__ import annotations

import asyncpg
import pytest_asyncio
from tallyport_local.testing import Connect


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(connect: Connect) -> asyncpg.Pool[asyncpg.Record]:
    return (await connect("notifier"))[1]
