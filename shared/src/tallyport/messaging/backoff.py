"""Waiting between tries: longer each time, never in step with others."""

from __future__ import annotations

import asyncio
import random
from typing import Final

FIRST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 10.0


class Backoff:
    """Exponential backoff with jitter, cut short by ``stopping``."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._seconds = FIRST_SECONDS

    async def wait(self) -> None:
        """Wait for the next try, or until the service stops."""
        seconds = self._seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        self._seconds = min(self._seconds * 2, LONGEST_SECONDS)
        try:
            await asyncio.wait_for(self._stopping.wait(), timeout=seconds)
        except TimeoutError:
            return

    def reset(self) -> None:
        """Start short again: the last try succeeded."""
        self._seconds = FIRST_SECONDS
