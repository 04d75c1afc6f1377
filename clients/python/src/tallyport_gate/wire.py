"""What both gates share of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Generator

import httpx

from tallyport_gate.protocol import Reply


class TokenAuth(httpx.Auth):
    """The service's token, asked for anew with each call if it is given by a function."""

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add it."""
        token = self._token if isinstance(self._token, str) else self._token()
        request.headers["authorization"] = f"Bearer {token}"
        yield request


def reply_of(answer: httpx.Response) -> Reply:
    """The answer as the conversation reads it."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    return Reply(answer.status_code, answer.headers.get("retry-after"), body if isinstance(body, dict) else None)
