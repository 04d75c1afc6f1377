"""The gate for asyncio."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import httpx

from tallyport_gate.errors import GateError
from tallyport_gate.model import Action, Decision, Outcome, Permit
from tallyport_gate.protocol import Call, Conversation, Pause, Reply, asking, reporting
from tallyport_gate.wire import TokenAuth, reply_of

log = logging.getLogger("tallyport_gate")
T = TypeVar("T")


class AsyncGate:
    """Asks over HTTP. One is enough for a program; ``async with`` or ``close`` gives its connections back.

    ``token`` is the service's, or what gives it anew for each call. ``patience_seconds``: how long a gate that does not
    answer is asked again.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str],
        *,
        patience_seconds: float = 30.0,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._auth = TokenAuth(token)
        self._patience_seconds = patience_seconds
        self._client = client or httpx.AsyncClient(follow_redirects=False)

    async def __aenter__(self) -> Self:
        """Nothing is sent yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the connections back."""
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    @asynccontextmanager
    async def ask(self, action: Action, *, wait_seconds: float = 300.0) -> AsyncIterator[Permit]:
        """Enter the block only if the action is allowed, and tell what became of it when the block ends.

        Raises:
            GateError: it may not be performed; which one says why.
        """
        permit = Permit(await self.decide(action, wait_seconds=wait_seconds))
        try:
            yield permit
        except BaseException as error:
            await self._report(permit, "failed", f"{type(error).__name__}: {error}")
            raise
        await self._report(permit, "performed", "")

    async def decide(self, action: Action, *, wait_seconds: float = 300.0) -> Decision:
        """The decision that allows an action. Whoever performs it reports the outcome himself.

        Raises:
            GateError: it may not be performed; which one says why.
        """
        return await self._carry_out(
            asking(action, wait_seconds=wait_seconds, patience_seconds=self._patience_seconds, clock=time.monotonic)
        )

    async def report(self, request_id: str, outcome: Outcome, detail: str = "") -> None:
        """Tell what became of an action that was allowed; telling the same again is harmless.

        Raises:
            GateError: the gate did not take it.
        """
        await self._carry_out(
            reporting(request_id, outcome, detail, patience_seconds=self._patience_seconds, clock=time.monotonic)
        )

    async def _report(self, permit: Permit, outcome: Outcome, detail: str) -> None:
        try:
            await asyncio.shield(self.report(permit.decision.request_id, outcome, detail))
        except GateError as error:
            permit.unreported = outcome
            log.warning("%s was %s, and the gate was not told: %s", permit.decision.request_id, outcome, error)

    async def _carry_out(self, conversation: Conversation[T]) -> T:
        reply: Reply | None = None
        while True:
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                reply = await self._send(step)

    async def _send(self, call: Call) -> Reply | None:
        try:
            async with asyncio.timeout(call.timeout_seconds):
                answer = await self._client.request(
                    call.method,
                    f"{self._url}{call.path}",
                    json=call.body,
                    auth=self._auth,
                    timeout=call.timeout_seconds,
                )
        except (httpx.TransportError, TimeoutError):
            return None
        return reply_of(answer)
