"""The process that holds a stack: in the foreground for `tallyport up`, as a daemon for `tallyport up --detach`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tallyport_local.errors import InvalidInputError, OperationFailedError, TallyportError
from tallyport_local.kafka.jars import Progress
from tallyport_local.processes import Identity, last_lines, rotate
from tallyport_local.services import SERVICES, Service
from tallyport_local.settings import LocalSettings
from tallyport_local.stack import Report, Stack
from tallyport_local.state import DataFolder

_POLL_SECONDS: Final = 0.1


def chosen_services(names: str | None) -> tuple[Service, ...]:
    """The services of a comma-separated list; all for None, none for an empty text.

    Raises:
        InvalidInputError: naming the one that does not exist.
    """
    if names is None:
        return SERVICES
    known = {service.name: service for service in SERVICES}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise InvalidInputError(f"there is no service {name!r}; there are {', '.join(known)}")
    return tuple(known[name] for name in wanted)


async def _hold(stack: Stack, ready: Callable[[], None]) -> None:
    """Start the stack, keep it until SIGINT or SIGTERM, stop it."""
    loop = asyncio.get_running_loop()
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked_to_stop.set)
    starting = asyncio.create_task(stack.up())
    stopping = asyncio.create_task(asked_to_stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            ready()
            await stopping
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await stack.down()


def hold(
    folder: DataFolder,
    settings: LocalSettings,
    services: Sequence[Service],
    *,
    report: Report,
    ready: Callable[[], None],
    progress: Progress | None = None,
) -> None:
    """Run a stack in this process until it is told to stop.

    Raises:
        AlreadyRunningError: when the folder is held by another.
        TallyportError: when a part does not start; everything is stopped again.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is just starting is no news
    folder.create()
    with folder.lock():
        stack = Stack(folder, settings, services=services, report=report, progress=progress)
        try:
            asyncio.run(_hold(stack, ready))
        except TallyportError as error:
            stack.state.phase = "failed"
            stack.state.reason = str(error)
            folder.write_state(stack.state)
            raise


def start_daemon(folder: DataFolder, services: str | None, show: Callable[[str], None], timeout_seconds: float) -> None:
    """Start a supervisor in its own session, show what it reports, return when everything is ready.

    Raises:
        OperationFailedError: when it gave up, with its reason; nothing is left running then.
    """
    folder.create()
    with folder.lock():  # only to say at once that one runs; the daemon takes it again
        log = folder.log("supervisor")
        rotate(log)
        log.touch()
        position = log.stat().st_size
    argv = [sys.executable, "-m", "tallyport_local.supervisor", "--data", str(folder.root)]
    if services is not None:
        argv += ["--services", services]
    with log.open("ab") as output:
        daemon = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=folder.root
        )
    deadline = time.monotonic() + timeout_seconds
    while True:
        state = folder.read_state()
        position = _show_new(log, position, show)
        ours = state.supervisor is not None and state.supervisor.pid == daemon.pid
        if ours and state.phase == "ready":
            daemon.returncode = 0  # it lives on; nobody waits for it here
            return
        if daemon.poll() is not None:
            _show_new(log, position, show)
            raise OperationFailedError(state.reason or f"the supervisor ended:\n{last_lines(log)}")
        if time.monotonic() > deadline:
            daemon.terminate()
            daemon.wait()
            raise OperationFailedError(f"the stack was not ready after {timeout_seconds:.0f} s\n{last_lines(log)}")
        time.sleep(_POLL_SECONDS)


def _show_new(log: Path, position: int, show: Callable[[str], None]) -> int:
    """Show the whole lines added since ``position``; gives the new position."""
    with log.open("rb") as stream:
        stream.seek(position)
        text = stream.read()
    end = text.rfind(b"\n") + 1
    for line in text[:end].decode(errors="replace").splitlines():
        show(line)
    return position + end


def running(folder: DataFolder) -> Identity | None:
    """The supervisor of this folder, while it lives."""
    supervisor = folder.read_state().supervisor
    return supervisor if supervisor and supervisor.alive else None


def main() -> int:
    """The daemon's entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--services")
    options = parser.parse_args()

    def report(what: str, seconds: float) -> None:
        sys.stdout.write(f"{what} ({seconds:.1f} s)\n")
        sys.stdout.flush()

    try:
        hold(
            DataFolder(options.data),
            LocalSettings(),
            chosen_services(options.services),
            report=report,
            ready=lambda: None,
        )
    except TallyportError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
