"""A real browser, where there is one."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    playwright = pytest.importorskip("playwright.async_api", reason="the group `browser` is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    async with playwright.async_playwright() as tools:
        # --no-sandbox: tests may run as root, where Chromium has no sandbox.
        found = await tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Any) -> AsyncIterator[Any]:
    context = await browser.new_context(locale="en-GB", timezone_id="UTC")
    found = await context.new_page()
    found.set_default_timeout(10_000)
    found.requested, found.complaints = [], []
    found.on("request", lambda request: found.requested.append(request.url))
    found.on("console", lambda message: found.complaints.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: found.complaints.append(str(error)))
    yield found
    await context.close()
