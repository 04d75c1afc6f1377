"""One supervised process: started, watched, started again with growing pauses when it dies, stopped or killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from tallyport_local.errors import OperationFailedError, StillWaitingError
from tallyport_local.processes import Child, Launch, last_lines
from tallyport_local.state import PartPhase, PartState

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 15.0
STEADY_AFTER_SECONDS: Final = 30.0
"""A part that ran this long is taken for healthy: its next death begins with the first pause again."""

DEATHS_BEFORE_FIRST_READY: Final = 3
STOP_PATIENCE_SECONDS: Final = 12.0
_PROBE_SECONDS: Final = 0.1

log = logging.getLogger(__name__)


class PartFailedError(OperationFailedError):
    """A part did not come up; the message ends with the last lines of its log."""


class Part:
    """A process of the stack and what is known of it."""

    def __init__(
        self,
        name: str,
        *,
        prepare: Callable[[], Awaitable[Launch]],
        ready: Callable[[], Awaitable[bool]],
        changed: Callable[[str], None],
        url: str | None = None,
        restart: bool = True,
    ) -> None:
        self.name = name
        self.state = PartState(url=url)
        self._prepare = prepare
        self._ready = ready
        self._changed = changed
        self._restart = restart
        self._wanted = False
        self._deaths = 0
        self._launch: Launch | None = None
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()
        self._unwanted = asyncio.Event()

    async def start(self) -> None:
        """Begin to supervise it; returns at once."""
        if self._task and not self._task.done():
            return
        self._wanted = True
        self._deaths = 0
        self._unwanted.clear()
        await self._set("starting")
        self._task = asyncio.create_task(self._supervise_or_fail(), name=f"supervise {self.name}")

    async def wait_ready(self, timeout_seconds: float) -> None:
        """Until it is ready.

        Raises:
            PartFailedError: when it was given up, with the end of its log.
            StillWaitingError: after ``timeout_seconds``.
        """
        async with self._moved:
            try:
                await asyncio.wait_for(
                    self._moved.wait_for(lambda: self.state.phase in {"ready", "failed", "stopped"}), timeout_seconds
                )
            except TimeoutError:
                raise StillWaitingError(
                    f"{self.name} is not ready after {timeout_seconds:.0f} s\n{self._log_end()}"
                ) from None
        if self.state.phase != "ready":
            raise PartFailedError(f"{self.name} did not start: {self.state.reason}\n{self._log_end()}")

    async def stop(self) -> None:
        """Stop it and keep it stopped."""
        await self._end(kill=False)

    async def kill(self, *, stay_down: bool = False) -> None:
        """End it with SIGKILL. Supervision starts it again, unless it shall ``stay_down``."""
        if stay_down:
            await self._end(kill=True)
            return
        child = self._child
        if child and child.running:
            await child.kill()
            async with self._moved:  # noticed by the supervision, so that `wait_ready` waits for the next one
                await self._moved.wait_for(lambda: self._child is not child or self.state.phase != "ready")

    async def _end(self, *, kill: bool) -> None:
        self._wanted = False
        self._unwanted.set()
        task = self._task
        if self._child and self._child.running:
            await (self._child.kill() if kill else self._child.stop(STOP_PATIENCE_SECONDS))
        if task:
            await task
        await self._set("stopped")

    async def _supervise_or_fail(self) -> None:
        try:
            await self._supervise()
        except Exception as error:
            # a fault of this program's own: whoever waits for the part hears of it instead of waiting on
            log.exception("the supervision of %s failed", self.name)
            await self._set("failed", f"{type(error).__name__}: {error}")

    async def _supervise(self) -> None:
        """Run it until it is not wanted any more."""
        while self._wanted:
            started = time.monotonic()
            reason = await self._run_once()
            if not self._wanted:
                return
            if not self._restart:
                await self._set("failed", reason)
                return
            steady = time.monotonic() - started > STEADY_AFTER_SECONDS
            self._deaths = 1 if steady else self._deaths + 1
            if not self.state.restarts and self._deaths >= DEATHS_BEFORE_FIRST_READY and not self._was_ready:
                await self._set("failed", reason)
                return
            await self._set("waiting", reason)
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (self._deaths - 1))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._unwanted.wait(), pause)
            if self._was_ready:
                self.state.restarts += 1

    _was_ready = False

    async def _run_once(self) -> str:
        """Start it, watch it become ready, wait for its end; gives why it ended."""
        try:
            self._launch = await self._prepare()
            self._child = await Child.start(self._launch)
        except (OSError, OperationFailedError) as error:
            return str(error)
        self.state.process = self._child.identity
        await self._set("starting")
        if not self._wanted:  # stopped while it was being started
            await self._child.stop(STOP_PATIENCE_SECONDS)
        watch = asyncio.create_task(self._watch_readiness())
        try:
            code = await self._child.wait()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        self.state.process = None
        return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

    async def _watch_readiness(self) -> None:
        while not await self._ready():  # noqa: ASYNC110 - another process's state: there is nothing to be woken by
            await asyncio.sleep(_PROBE_SECONDS)
        self._was_ready = True
        await self._set("ready")

    async def _set(self, phase: PartPhase, reason: str | None = None) -> None:
        async with self._moved:
            self.state.phase = phase
            self.state.reason = reason
            self.state.since = datetime.now(UTC)
            self._changed(self.name)
            self._moved.notify_all()

    def _log_end(self) -> str:
        return last_lines(self._launch.log) if self._launch else ""
