"""Long lists in pages: ``?limit=&after=``, and the next page in the header field ``Link`` (RFC 8288).

A list stays a list, so that whoever asked for one page only is not disturbed. The cursor says after which entry the
next page begins: entries that come or go meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request, Response

from tallyport.rest.problems import ProblemError

Row = TypeVar("Row")
After = Annotated[
    str | None, Query(max_length=2000, description="The cursor of the page before, from its Link header.")
]


def cursor_of(*parts: str | int) -> str:
    """An opaque cursor for the entry that ``parts`` identify."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def read_cursor(after: str | None, *types: type) -> tuple[Any, ...] | None:
    """The parts of a cursor; None without one.

    Raises:
        ProblemError: it is not one of this list.
    """
    if after is None:
        return None
    try:
        parts = json.loads(base64.b64decode(after + "=" * (-len(after) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        parts = None
    fits = isinstance(parts, list) and [type(part) for part in parts] == list(types)
    if not fits or any("\x00" in part for part in parts if isinstance(part, str)):
        errors = [{"field": "after", "message": "this is not a cursor of this list"}]
        raise ProblemError(422, "The request is not valid", "after: this is not a cursor of this list", errors)
    return tuple(parts)


def page(
    request: Request, response: Response, rows: Sequence[Row], limit: int, cursor: Callable[[Row], str]
) -> list[Row]:
    """The first ``limit`` of ``rows``, of which one more was read; if there is one more, ``Link`` leads to it."""
    shown = list(rows[:limit])
    if len(rows) > limit and shown:
        target = request.url.include_query_params(limit=limit, after=cursor(shown[-1]))
        # Without scheme and host: a proxy may have been asked under other ones.
        response.headers["Link"] = f'<{target.path}?{target.query}>; rel="next"'
    return shown
