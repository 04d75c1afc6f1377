"""``tallyport schedule set | list | runs | remove``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tallyport_local.cli.reports import BUILDER, FORMATS, KINDS
from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, new_table, out
from tallyport_local.installation import Installation

schedule = new_app("Schedules: reports that are asked for by themselves, at a local time, each once.")
app.add_typer(schedule, name="schedule")

NameArgument = Annotated[str, typer.Argument(help="The schedule's name: letters a-z, digits and -.")]


def _when(one: dict[str, Any]) -> str:
    day = {"day": "", "week": f", day {one['day']}", "month": f", day {one['day']}"}[one["every"]]
    return f"every {one['every']}{day} at {one['at'][:5]} {one['zone']}"


@command(schedule, "set")
def put(  # noqa: PLR0917 - typer passes every option by name
    name: NameArgument,
    output_format: Annotated[str, typer.Option("--format", help=" | ".join(FORMATS))],
    at: Annotated[str, typer.Option(help="Local time, HH:MM.")],
    kind: Annotated[str, typer.Option(help=", ".join(KINDS))] = KINDS[0],
    zone: Annotated[str, typer.Option(help="Time zone, e.g. Europe/Berlin.")] = "UTC",
    every: Annotated[str, typer.Option(help="day | week | month")] = "day",
    day: Annotated[int, typer.Option(min=1, max=31, help="1 (Monday) to 7 of a week, or of a month.")] = 1,
    period: Annotated[
        str, typer.Option(help="today | yesterday | last_week | month_to_date | last_month")
    ] = "yesterday",
    organisation: Annotated[str | None, typer.Option(help="Only this organisation and what is below it.")] = None,
    language: Annotated[str, typer.Option(help="The language of headings.")] = "en",
    synchronise: Annotated[
        int | None, typer.Option(min=1, help="Ask the collectors before, and wait so many minutes for them.")
    ] = None,
    active: Annotated[bool, typer.Option("--active/--resting")] = True,  # noqa: FBT002 - typer's way
    data: DataOption = None,
) -> None:
    """Make this the schedule of that name. It is due for the first time after now; missed times are made up for.

    Example: `tallyport schedule set monthly --format xlsx --every month --at 06:00 --period last_month`
    """
    body = {"kind": kind, "format": output_format, "organisation": organisation, "language": language,
            "period": period, "every": every, "day": day, "at": at, "zone": zone,
            "synchronise_minutes": synchronise, "active": active}  # fmt: skip
    found = Installation(data_folder(data)).call(BUILDER, "PUT", f"/v1/schedules/{name}", body=body)
    rest = "" if found["active"] else ", resting"
    out.print(f"schedule {name}: {_when(found)}, next {found['next_due_at']}{rest}", markup=False)


@command(schedule, "list")
def list_schedules(
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """List the schedules and when each is due next."""
    found = Installation(data_folder(data)).pages(BUILDER, "/v1/schedules")
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("name", "report", "about", "when", "next", "owner")
    for one in found:
        report = f"{one['kind']}.{one['format']}, {one['period']}"
        due = one["next_due_at"] if one["active"] else "resting"
        table.add_row(one["name"], report, one["organisation"] or "all", _when(one), due, one["owner"] or "provider")
    out.print(table)


@command(schedule, "runs")
def runs(
    name: NameArgument,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """List when a schedule was due, and what came of it.

    Example: `tallyport schedule runs monthly`
    """
    place = f"/v1/schedules/{name}/runs"
    found = Installation(data_folder(data)).call(BUILDER, "GET", place, query={"limit": limit})
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("due", "report", "state", "outcome")
    for one in found:
        table.add_row(one["due_at"], one["report_id"], one["state"], one["outcome"] or "")
    out.print(table)


@command(schedule, "remove")
def remove(name: NameArgument, data: DataOption = None) -> None:
    """Let a schedule ask for nothing more. What it asked for stays.

    Example: `tallyport schedule remove monthly`
    """
    Installation(data_folder(data)).call(BUILDER, "DELETE", f"/v1/schedules/{name}")
    out.print(f"schedule {name} is removed", markup=False)
