"""Waiting for a condition, which is what tests do instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 0.02


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 20.0, what: str = "") -> None:
    """Return as soon as ``condition`` holds.

    Raises:
        AssertionError: it did not come to hold within ``seconds``; ``what`` says what was waited for.
    """
    try:
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110 - the condition is in a database or a broker
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s for {what or condition.__qualname__}") from None
