"""What belongs together: the id that a request or an event gives to everything that follows from it.

It stands on each log line written meanwhile and on each event published meanwhile, unless that names another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

_NAME = "correlation_id"


@contextmanager
def correlated(correlation_id: str | None) -> Iterator[None]:
    """What happens in the block, and in tasks begun in it, belongs to ``correlation_id``; None changes nothing."""
    if correlation_id is None:
        yield
        return
    with structlog.contextvars.bound_contextvars(**{_NAME: correlation_id}):
        yield


def current_correlation() -> str | None:
    """What the work at hand belongs to."""
    found: str | None = structlog.contextvars.get_contextvars().get(_NAME)
    return found
