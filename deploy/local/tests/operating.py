"""A stack that runs, and what an operator does with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import commands
import psutil
from tallyport_local.state import DataFolder
from tallyport_local.testing import Infrastructure

WAIT_SECONDS = 60


@dataclass(frozen=True)
class Operated:
    """A running stack whose Kafka, PostgreSQL and object store are others'."""

    folder: DataFolder
    env: dict[str, str]
    infrastructure: Infrastructure
    desk: Path

    def tallyport(self, *arguments: str, code: int = 0) -> str:
        """All that a command printed."""
        return commands.tallyport(self.folder, *arguments, code=code, env=self.env)

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What a command printed as JSON."""
        return json.loads(commands.run(self.folder, *arguments, "--json", code=code, env=self.env)[0])

    def written(self, name: str, *lines: str) -> str:
        """The path of a new file."""
        file = self.desk / name
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(file)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that other processes do."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}"
            time.sleep(0.1)

    @contextmanager
    def held(self, service: str) -> Iterator[None]:
        """The service's process stands still, as one does that is away."""
        identity = self.folder.read_state().parts[service].process
        assert identity is not None
        process = psutil.Process(identity.pid)
        process.suspend()
        try:
            yield
        finally:
            process.resume()
