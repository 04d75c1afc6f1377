"""Which pages of other origins may ask about a question and answer it: CORS for two paths, and for no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

PATHS: Final = frozenset({"/v1/confirmation", "/v1/confirmation/answer"})


class AllowedOrigins:
    """Lets pages of ``origins`` call what needs the token of one question; elsewhere, no page of another origin."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type"),
            expose_headers=("Retry-After",),
            max_age=600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, through CORS where that is for other origins."""
        app = self._open if scope["type"] == "http" and scope["path"] in PATHS else self._app
        await app(scope, receive, send)
