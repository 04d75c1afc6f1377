"""``tallyport directory import`` and ``tallyport usage import``: publish through Kafka, wait until it is durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from tallyport.messaging.envelope import new_event_id
from tallyport.usage_csv import BadLine, UsageEvent, UsageFileError, read_usage, text_lines

from tallyport_local.cli.root import DataOption, app, command, data_folder, err, new_app, out
from tallyport_local.directory_jsonl import read_directory
from tallyport_local.errors import InvalidInputError
from tallyport_local.installation import Installation
from tallyport_local.publishing import Publisher, publisher, wait_applied

MAX_BAD_LINES_SHOWN: Final = 100
DIRECTORY_SOURCE: Final = "/tallyport/directory-import"

directory = new_app("The directory: organisations, sites, service instances, subscriptions, applications.")
usage = new_app("Usage: measured values of objects.")
app.add_typer(directory, name="directory")
app.add_typer(usage, name="usage")

FileArgument = Annotated[Path, typer.Argument(help="The file to import.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0, help="Seconds to wait until the services have applied it.")
]


class _Import:
    """One import: what was sent, which lines were bad, and the waiting."""

    def __init__(self, installation: Installation, file: Path, groups: tuple[str, ...], timeout_seconds: float) -> None:
        self.settings = installation.kafka
        self.sent: Counter[str] = Counter()
        self.bad = 0
        self._file = file
        self._groups = groups
        self._timeout_seconds = timeout_seconds

    def report(self, bad: BadLine) -> None:
        """Say which line is bad and why; the rest goes on."""
        self.bad += 1
        if self.bad <= MAX_BAD_LINES_SHOWN:
            err.print(f"{self._file}:{bad.number}: {bad.reason}", markup=False)

    @asynccontextmanager
    async def run(self, source: str) -> AsyncIterator[tuple[Publisher, Progress]]:
        """Publish within the block; after it, wait for the services and tell how it went.

        Raises:
            InvalidInputError: at the very end, when lines were bad; the good ones are in by then.
        """
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
            async with publisher(self.settings, source) as sender:
                yield sender, progress
            tasks = {group: progress.add_task(group, total=None) for group in self._groups}
            await wait_applied(
                self.settings,
                self._groups,
                sender.ends,
                timeout_seconds=self._timeout_seconds,
                progress=lambda group, left: progress.update(tasks[group], description=f"{group}: {left} to read"),
            )
        what = ", ".join(f"{count} {kind}" for kind, count in self.sent.items()) or "nothing"
        out.print(f"imported and applied: {what}")
        if self.bad:
            hidden = f" ({self.bad - MAX_BAD_LINES_SHOWN} not shown)" if self.bad > MAX_BAD_LINES_SHOWN else ""
            raise InvalidInputError(f"{self.bad} bad lines in {self._file} were left out{hidden}; the rest is in")


def _open(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise InvalidInputError(f"{file}: {error.strerror}") from error


@command(directory, "import")
async def import_directory(file: FileArgument, data: DataOption = None, timeout_seconds: TimeoutOption = 120) -> None:
    """Publish a JSON Lines file of directory entities, one a line, and wait until engine and notifier have them.

    A bad line is reported with its number, the rest goes in, and the exit code is then 2. After the time-out the
    exit code is 3: the file is published and will still be applied.

    Example: `tallyport directory import examples/provider/directory.jsonl`
    """
    run = _Import(
        Installation(data_folder(data)), file, ("billing-engine.directory", "notifier.directory"), timeout_seconds
    )
    with _open(file) as stream:
        async with run.run(DIRECTORY_SOURCE) as (sender, progress):
            task = progress.add_task("publishing", total=None)
            for found in read_directory(stream):
                if isinstance(found, BadLine):
                    run.report(found)
                    continue
                entity = found.entity
                await sender.send("directory.changes", key=entity.entity_key, data=entity, event_id=new_event_id())
                run.sent[entity.kind] += 1
                progress.update(task, description=f"published {run.sent.total()} entities")


def _samples(stream: BinaryIO, file: Path, source: str) -> Iterator[UsageEvent | BadLine]:
    """The file's events and bad lines.

    Raises:
        InvalidInputError: when it is no usage file.
    """
    try:
        yield from read_usage(text_lines(stream), source)
    except UsageFileError as error:
        raise InvalidInputError(f"{file}: {error}") from error


@command(usage, "import")
async def import_usage(
    file: FileArgument,
    source: Annotated[str, typer.Option(help="Who measured it; part of each event's identity.")],
    data: DataOption = None,
    timeout_seconds: TimeoutOption = 120,
) -> None:
    """Publish a CSV of samples (`object_id,counter,day,value[,measured_at][,id]`) and wait until the engine has them.

    Importing the same file from the same source twice changes nothing: the events carry the same ids. A value without
    `measured_at` counts as measured at the end of its day. A bad line is reported with its number, the rest goes in,
    and the exit code is then 2. After the time-out the exit code is 3.

    Example: `tallyport usage import examples/provider/usage/2026-10-01.csv --source mail-1`
    """
    run = _Import(Installation(data_folder(data)), file, ("billing-engine.usage",), timeout_seconds)
    with _open(file) as stream:
        async with run.run(source) as (sender, progress):
            task = progress.add_task("publishing", total=None)
            for found in _samples(stream, file, source):
                if isinstance(found, BadLine):
                    run.report(found)
                    continue
                await sender.send("usage.samples", key=found.event_id, data=found.chunk, event_id=found.event_id)
                run.sent["samples"] += len(found.chunk.values)
                progress.update(task, description=f"published {run.sent.total()} samples")
