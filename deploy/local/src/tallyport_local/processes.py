"""Child processes: started so that none outlives the stack, recognised again after a crash, ended for certain."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from pydantic import BaseModel, ConfigDict

MAX_LOG_BYTES: Final = 16 * 1024 * 1024
KEPT_LOGS: Final = 3
_START_TOLERANCE_SECONDS: Final = 2.0
_PR_SET_PDEATHSIG: Final = 1
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Account:
    """The user a child runs as, when that is not the user of the stack."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Launch:
    """How to start one process."""

    argv: tuple[str, ...]
    env: dict[str, str]
    log: Path
    cwd: Path
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    before: Callable[[], None] = field(default=lambda: None)


class Identity(BaseModel):
    """Enough to tell a process from a later one with the same number."""

    model_config = ConfigDict(frozen=True)

    pid: int
    created: float
    argv: tuple[str, ...]

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of a running process, or None when there is none with that number."""
        try:
            process = psutil.Process(pid)
            return cls(pid=pid, created=process.create_time(), argv=tuple(process.cmdline()))
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """The process itself while it is alive and still the same one."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _START_TOLERANCE_SECONDS
            if not same or process.status() == psutil.STATUS_ZOMBIE or tuple(process.cmdline()) != self.argv:
                return None
        except psutil.Error:
            return None
        return process

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return self.process() is not None


def _runs(process: psutil.Process) -> bool:
    """Whether it still runs. One that has ended but was not yet collected by its parent does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _wait_ended(processes: Iterable[psutil.Process], patience_seconds: float) -> list[psutil.Process]:
    """Wait until none of them runs; gives those that still do when the patience is over."""
    deadline = time.monotonic() + patience_seconds
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return left


def end(identities: Iterable[Identity], *, patience_seconds: float, ask: signal.Signals = signal.SIGTERM) -> list[int]:
    """Ask processes of an earlier run to stop, wait, then kill what is left with its children. Gives the ended pids."""
    processes = [process for identity in identities if (process := identity.process())]
    with_children = [*processes]
    for process in processes:
        with contextlib.suppress(psutil.Error):
            with_children.extend(process.children(recursive=True))
            process.send_signal(ask)
    for process in _wait_ended(with_children, patience_seconds):
        with contextlib.suppress(psutil.Error):
            process.kill()
    _wait_ended(with_children, patience_seconds)
    return [process.pid for process in processes]


def rotate(log: Path) -> None:
    """Put a grown log aside at start: ``x.log`` becomes ``x.log.1``, and so on; the oldest goes."""
    if not log.exists() or log.stat().st_size < MAX_LOG_BYTES:
        return
    for number in range(KEPT_LOGS, 0, -1):
        older = log if number == 1 else log.with_name(f"{log.name}.{number - 1}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number}"))


def _follow_parent(ask: signal.Signals) -> Callable[[], None]:
    """A function for the child, before exec: the kernel shall send it ``ask`` when this process dies, however it dies.

    Only Linux can; elsewhere a killed supervisor's children are found by their identities at the next start.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl  # loaded here: between fork and exec nothing may be allocated or locked
    parent = os.getpid()

    def follow() -> None:
        prctl(_PR_SET_PDEATHSIG, int(ask), 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return follow


class Child:
    """A running child of this process."""

    def __init__(self, process: asyncio.subprocess.Process, identity: Identity, launch: Launch) -> None:
        self._process = process
        self.identity = identity
        self._launch = launch

    @classmethod
    async def start(cls, launch: Launch) -> Child:
        """Start it in its own session (the terminal's Ctrl-C is for the supervisor), its output into its log.

        Raises:
            OSError: when it cannot be started.
        """
        rotate(launch.log)
        launch.before()
        account: dict[str, Any] = {}
        if launch.account:
            account = {"user": launch.account.uid, "group": launch.account.gid, "extra_groups": []}
        descriptor = os.open(launch.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.argv,
                env=launch.env,
                cwd=launch.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                preexec_fn=_follow_parent(launch.stop_signal),
                **account,
            )
        finally:
            os.close(descriptor)
        identity = Identity.of(process.pid) or Identity(pid=process.pid, created=0.0, argv=launch.argv)
        return cls(process, identity, launch)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Its exit code, once it has ended (negative: the signal that ended it)."""
        return await self._process.wait()

    async def stop(self, patience_seconds: float) -> None:
        """Ask, wait, and kill if it does not listen."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(self._launch.stop_signal)
            try:
                await asyncio.wait_for(self._process.wait(), patience_seconds)
            except TimeoutError:
                await self.kill()

    async def kill(self) -> None:
        """End it and all its children as a power cut would, and wait until they are gone."""
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self._process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        await self._process.wait()
        await asyncio.to_thread(_wait_ended, children, 10.0)


async def run_to_end(launch: Launch, timeout_seconds: float) -> int:
    """Start a one-shot process and give its exit code; killed when it takes longer.

    Raises:
        TimeoutError: after it was killed.
    """
    child = await Child.start(launch)
    try:
        return await asyncio.wait_for(child.wait(), timeout_seconds)
    finally:
        if child.running:
            await child.kill()


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16_384))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ""
