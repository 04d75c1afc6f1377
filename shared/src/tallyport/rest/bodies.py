"""A limit on what is read of a request, before anything is made of it."""

from __future__ import annotations

from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallyport.rest.problems import problem


class _TooLargeError(Exception):
    """More came than was announced, and more than is taken."""


class BodyLimit:
    """Answers 413 to a body above ``max_bytes``, whether it is announced or just comes."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if said.isdigit() and int(said) > self._max_bytes:
            await self._refuse(scope, receive, send)
            return
        seen = 0
        begun = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            # What the application makes of a body that it could not read is not the answer.
            if begun or seen <= self._max_bytes:
                begun = True
                await send(message)

        with suppress(_TooLargeError):
            await self._app(scope, counted, noted)
        if not begun and seen > self._max_bytes:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"at most {self._max_bytes} bytes are taken; send it in parts"
        answer = problem(413, "The body is too large", detail, headers={"Connection": "close"})
        await answer(scope, receive, send)
