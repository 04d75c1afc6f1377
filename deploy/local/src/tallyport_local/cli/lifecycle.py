"""``tallyport up | down | status | reset | logs``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, err, new_table, out
from tallyport_local.errors import InvalidInputError
from tallyport_local.kafka.jars import ensure_jars, locked_jars
from tallyport_local.recovery import remove_data, stop_stack
from tallyport_local.settings import LocalSettings
from tallyport_local.status import Overview, read_overview
from tallyport_local.supervisor import chosen_services, hold, start_daemon

_FOLLOW_SECONDS: Final = 0.25
_COLOURS: Final = {"ready": "green", "external": "green", "starting": "yellow", "waiting": "yellow"}


def _fetch_jars(settings: LocalSettings) -> None:
    """Fetch Kafka's jars where a person can watch; nothing is shown when they are there."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("Apache Kafka from Maven Central", total=None, visible=False)

        def advance(total: int, received: int) -> None:
            progress.update(task, total=total, advance=received, visible=True)

        ensure_jars(locked_jars(), settings.cache / "kafka", settings.maven_url, advance)


def _show(line: str) -> None:
    out.print(f"  {line}", markup=False)


@command(app, "up")
def up(
    data: DataOption = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when everything is ready.")] = False,  # noqa: FBT002 - typer's way
    services: Annotated[
        str | None, typer.Option(help="Only these services, comma separated; '' starts the infrastructure alone.")
    ] = None,
) -> None:
    """Start Kafka, PostgreSQL, the object store and the services.

    In the foreground until Ctrl-C, or with `--detach` in the background until `tallyport down`.
    A part that runs already is used when the environment names it: TALLYPORT_KAFKA__BOOTSTRAP_SERVERS,
    TALLYPORT_POSTGRES_ADMIN_DSN, TALLYPORT_OBJECT_STORE__URL.

    Example: `tallyport up --detach --data /tmp/try`
    """
    settings = LocalSettings()
    folder = data_folder(data)
    chosen = chosen_services(services)
    out.print(f"[bold]Tallyport[/bold] in {folder.root}")
    if not settings.kafka.bootstrap_servers:
        _fetch_jars(settings)
    if detach:
        start_daemon(folder, services, _show, settings.start_timeout_seconds * 3)
        out.print("[green]ready[/green]; see `tallyport status`, end it with `tallyport down`")
        return

    def ready() -> None:
        for name, part in folder.read_state().parts.items():
            _show(f"{name:<16} {part.url}")
        out.print("[green]ready[/green]; Ctrl-C ends it")

    hold(folder, settings, chosen, report=lambda what, seconds: _show(f"{what} ({seconds:.1f} s)"), ready=ready)
    out.print("stopped")


@command(app, "down")
def down(data: DataOption = None) -> None:
    """Stop the stack; its data stays. Also ends what a killed supervisor left behind."""
    folder = data_folder(data)
    out.print("stopped" if stop_stack(folder) else f"nothing runs in {folder.root}")


@command(app, "reset")
def reset(
    data: DataOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,  # noqa: FBT002 - typer's way
) -> None:
    """Stop the stack and delete all its data: records, databases, reports, secrets."""
    folder = data_folder(data)
    if not yes:
        typer.confirm(f"Delete everything in {folder.root}?", abort=True)
    remove_data(folder)
    out.print(f"{folder.root} is gone")


@command(app, "status")
def status(data: DataOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - typer's way
    """Show every part's health, the lag of every consumer, the last batch and its light.

    The exit code is 0 when everything is healthy, else 1: `tallyport status >/dev/null && echo fine`
    """
    overview = read_overview(data_folder(data))
    if as_json:
        out.print_json(overview.model_dump_json())
    else:
        _print_overview(overview)
    if not overview.healthy:
        raise typer.Exit(1)


def _print_overview(overview: Overview) -> None:
    out.print(f"[bold]{overview.phase}[/bold] in {overview.data}" + (f": {overview.reason}" if overview.reason else ""))
    table = new_table("part", "health", "address", "restarts", "remarks")
    for part in overview.parts:
        colour = _COLOURS.get(part.health, "red")
        remarks = "; ".join(part.reasons)
        table.add_row(part.name, f"[{colour}]{part.health}[/{colour}]", part.url or "", str(part.restarts), remarks)
    out.print(table)
    if overview.consumers:
        lags = new_table("consumer group", "topic", "lag", "position is")
        for consumer in overview.consumers:
            age = consumer.position_age_seconds
            lags.add_row(consumer.group, consumer.topic, str(consumer.lag), "" if age is None else f"{age:.0f} s old")
        out.print(lags)
    if overview.last_batch:
        batch = overview.last_batch
        colour = {"green": "green", "orange": "dark_orange"}.get(batch.light, "red")
        out.print(f"last batch {batch.batch_date} revision {batch.revision}: [{colour}]{batch.light}[/{colour}]")
    for late in (part.late_usage for part in overview.parts if part.late_usage and part.late_usage.waiting):
        out.print(f"late usage: {late.waiting} values wait for the next batch, the oldest of batch {late.oldest_batch}")


@command(app, "logs")
def logs(
    part: Annotated[str | None, typer.Argument(help="A service, kafka, postgres or supervisor; all of them.")] = None,
    data: DataOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,  # noqa: FBT002 - typer's way
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines first.")] = 50,
) -> None:
    """Show the log of one part or of all.

    Example: `tallyport logs -f billing-engine`
    """
    folder = data_folder(data)
    files = [folder.log(part)] if part else sorted(folder.logs.glob("*.log"))
    if not files or not all(file.exists() for file in files):
        known = ", ".join(file.stem for file in sorted(folder.logs.glob("*.log")))
        raise InvalidInputError(f"no such log; there are: {known or 'none'}")
    positions = {file: _print_tail(file, lines, with_name=part is None) for file in files}
    while follow:
        time.sleep(_FOLLOW_SECONDS)
        positions |= {file: _print_from(file, at, with_name=part is None) for file, at in positions.items()}


def _print_tail(file: Path, lines: int, *, with_name: bool) -> int:
    """Print the last lines; gives the position after them."""
    data = file.read_bytes()
    shown = data.splitlines(keepends=True)[-lines:] if lines else []
    for line in shown:
        _print_line(file, line, with_name=with_name)
    return len(data)


def _print_from(file: Path, position: int, *, with_name: bool) -> int:
    """Print what came after ``position``; a file that became shorter was rotated and begins anew."""
    if file.stat().st_size < position:
        position = 0
    with file.open("rb") as stream:
        stream.seek(position)
        for line in stream:
            _print_line(file, line, with_name=with_name)
        return stream.tell()


def _print_line(file: Path, line: bytes, *, with_name: bool) -> None:
    text = line.decode(errors="replace").rstrip("\n")
    out.print(f"{file.stem:<16} {text}" if with_name else text, markup=False)
