"""The correlation id of an HTTP request: taken from the caller, or given, and told in the answer."""

from __future__ import annotations

import re
from secrets import token_hex
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallyport.correlation import correlated

HEADER: Final = "X-Correlation-ID"
_RAW_HEADER: Final = HEADER.lower().encode()
_USABLE: Final = re.compile(rb"[A-Za-z0-9._:/-]{1,200}")
"""Others could break a log line apart, or fill it."""


class Correlating:
    """Binds the id to what the request does. One that cannot stand in a log is replaced, not refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = next((value for name, value in scope["headers"] if name == _RAW_HEADER), b"")
        correlation_id = said.decode() if _USABLE.fullmatch(said) else token_hex(16)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (_RAW_HEADER, correlation_id.encode())]
            await send(message)

        with correlated(correlation_id):
            await self._app(scope, receive, named)
