"""One whole stack for all fault scenarios."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tallyport.messaging.kafka import producer
from tallyport_local.recovery import remove_data
from tallyport_local.settings import LocalSettings
from tallyport_local.stack import Stack
from tallyport_local.state import DataFolder
from yard import Yard


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def yard(tmp_path_factory: pytest.TempPathFactory, stack_settings: LocalSettings) -> AsyncIterator[Yard]:
    """The stack, with everything it has."""
    folder = DataFolder(Path(tmp_path_factory.mktemp("faults")) / "stack")
    async with AsyncExitStack() as open_things:
        # Small enough that a scenario's customers are many ranges: services can be stopped between two of them.
        environment = open_things.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("TALLYPORT_BILLING__CUSTOMERS_PER_RANGE", "5")
        stack = await open_things.enter_async_context(Stack(folder, stack_settings))
        token = folder.secret("operator-token")
        http = httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)
        await open_things.enter_async_context(http)
        client = await open_things.enter_async_context(producer(stack.kafka, "faults", linger_ms=2))
        yield Yard(stack, http, client)
    remove_data(folder)
