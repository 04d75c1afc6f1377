"""``tallyport collect run | sources | runs``: what the usage collector reads, and what came of it."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, out
from tallyport_local.errors import OperationFailedError, StillWaitingError
from tallyport_local.installation import Installation

COLLECTOR: Final = "usage-collector"
OVER: Final = {"succeeded", "partial", "failed"}
MAX_RUNS: Final = 1000
_POLL_SECONDS: Final = 0.2

collect = new_app("Collecting: reading usage from watched folders and database servers.")
app.add_typer(collect, name="collect")


def _print_runs(found: list[dict[str, Any]]) -> None:
    table = Table("started", "source", "state", "samples", "objects", "failures", "run", box=None, header_style="dim")
    for one in found:
        started = str(one["started_at"] or "")[:19]
        figures = (str(one[name]) for name in ("samples", "objects", "failure_count"))
        table.add_row(started, one["source"], one["state"], *figures, one["run_id"])
    out.print(table if found else "no runs yet")
    for one in found:
        for failure in one["failures"]:
            out.print(f"  {one['source']}: {failure['place']}: {failure['reason']}", markup=False)


@command(collect, "run")
def run(
    sources: Annotated[
        list[str] | None, typer.Argument(help="The sources to read; all of them without a name.")
    ] = None,
    timeout_seconds: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for the runs.")] = 60,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Read sources now, whatever their schedule says, and wait until what they gave is safe in the spool.

    Exit code 1 when a source could not be read at all, 3 when a run is not over after the time-out.

    Example: `tallyport collect run databases`
    """
    installation = Installation(data_folder(data))
    asked = installation.call(COLLECTOR, "POST", "/v1/runs", body={"sources": sources or []})["run_ids"]
    deadline = time.monotonic() + timeout_seconds
    while True:
        runs = installation.call(COLLECTOR, "GET", "/v1/runs", query={"limit": MAX_RUNS})
        found = [one for one in runs if one["run_id"] in asked]
        waiting = [one["source"] for one in found if one["state"] not in OVER]
        if not waiting:
            break
        if time.monotonic() > deadline:
            raise StillWaitingError(
                f"not read after {timeout_seconds:.0f} s: {', '.join(waiting)}; it goes on by itself"
            )
        time.sleep(_POLL_SECONDS)
    if as_json:
        out.print_json(data=found)
    else:
        _print_runs(found)
    failed = [one["source"] for one in found if one["state"] == "failed"]
    if failed:
        raise OperationFailedError(f"could not be read: {', '.join(failed)}")


@command(collect, "sources")
def list_sources(
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """List what the collector reads, and how often."""
    found = Installation(data_folder(data)).call(COLLECTOR, "GET", "/v1/sources")
    if as_json:
        out.print_json(data=found)
        return
    table = Table("source", "kind", "every", "place", "", box=None, header_style="dim")
    for one in found:
        place = one.get("folder") or one.get("dsn") or ""
        trouble = one.get("paused") or one.get("broken") or ""
        table.add_row(one["name"], one["kind"], f"{one['every_seconds']} s", place, trouble)
    out.print(table if found else "no sources; the sources file names none")


@command(collect, "runs")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=MAX_RUNS, help="How many of the last runs.")] = 20,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show the last runs, with what could not be read and why."""
    found = Installation(data_folder(data)).call(COLLECTOR, "GET", "/v1/runs", query={"limit": limit})
    if as_json:
        out.print_json(data=found)
    else:
        _print_runs(found)
