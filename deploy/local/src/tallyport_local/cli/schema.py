"""``tallyport schema show | diff | preview | publish | history | revert``."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, out
from tallyport_local.installation import Installation

ENGINE: Final = "billing-engine"
PREVIEW_TIMEOUT_SECONDS: Final = 600.0

schema = new_app("Service schemas: the published rules by which a service appears in billing.")
app.add_typer(schema, name="schema")

ServiceArgument = Annotated[str, typer.Argument(help="The service's id, e.g. HE.")]
ReasonOption = Annotated[str, typer.Option(help="Why; kept with the version.")]


def _path(service: str, what: str = "") -> str:
    return f"/v1/services/{service}/schema{what}"


def _print_published(answer: dict[str, Any]) -> None:
    units = ", ".join(unit["id"] if isinstance(unit, dict) else str(unit) for unit in answer.get("units") or [])
    state = "is published" if answer.get("changed", True) else "was published already"
    out.print(f"{answer['service']}: version {answer['version']} {state} ({units})")


@command(schema, "publish")
def publish(
    service: ServiceArgument,
    reason: ReasonOption = "",
    data: DataOption = None,
) -> None:
    """Make the draft of a service's billing units a new version; the next transfer uses it, no earlier batch changes.

    Example: `tallyport schema publish HE --reason "users by megabyte"`
    """
    _print_published(
        Installation(data_folder(data)).call(ENGINE, "POST", _path(service, "/publish"), body={"reason": reason})
    )


@command(schema, "show")
def show_schema(
    service: ServiceArgument,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show the published version of a service's schema and its draft."""
    answer = Installation(data_folder(data)).call(ENGINE, "GET", _path(service))
    if as_json:
        out.print_json(data=answer)
        return
    for name in ("published", "draft"):
        part = answer.get(name) or {}
        units = part if isinstance(part, list) else part.get("units", [])
        version = f" version {part['version']}" if isinstance(part, dict) and part.get("version") else ""
        said = f" by {part['published_by']}: {part['reason']}" if version and part.get("reason") else ""
        out.print(f"[bold]{name}[/bold]{version}{said}" + ("" if units else ": none"))
        for unit in units:
            quantity = unit.get("quantity", "status")
            counted = quantity
            if isinstance(quantity, dict):
                counted = quantity.get("counter") or quantity.get("column") or "its view's column"
            subject = unit["unit"]
            if isinstance(subject, dict):
                pinned = f" version {subject['version']}" if subject.get("version") else ""
                subject = f"view {subject['view']}{pinned}"
            model = (unit.get("price_model") or {}).get("model", "flat")
            priced = f"at {unit.get('price')}" if model == "flat" else f"at {unit.get('price')}, {model}"
            resting = "" if unit.get("active", True) else " (not active)"
            out.print(f"  {unit['id']}: {subject} by {counted} {priced}{resting}", markup=False)

    for one in answer["views"]:
        said = f"{one['name']} version {one['version']}: {one['label']} ({one['plan_type']}, {one['quantity_column']})"
        out.print(f"registered view {said}", markup=False)


@command(schema, "diff")
def diff(service: ServiceArgument, data: DataOption = None) -> None:
    """Show what publishing the draft would change, field by field.

    Example: `tallyport schema diff HE`
    """
    answer = Installation(data_folder(data)).call(ENGINE, "GET", _path(service, "/diff"))
    for change in answer["changes"]:
        what = change["unit"] if change["field"] is None else f"{change['unit']}.{change['field']}"
        shown = [json.dumps(change[side]) for side in ("before", "after") if change[side] is not None]
        out.print(f"{change['action']} {what}: {' -> '.join(shown)}", markup=False)
    if not answer["changes"]:
        out.print("the draft is what is published")


@command(schema, "preview")
def preview(
    service: ServiceArgument,
    customer: Annotated[str | None, typer.Option(help="Only this customer.")] = None,
    limit: Annotated[int, typer.Option(help="How many customers to show, the largest change first.", min=0)] = 20,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Compute today's lines by the draft and by the published version, and show what differs; nothing is written.

    Example: `tallyport schema preview HE --customer cust-002`
    """
    answer = Installation(data_folder(data)).call(
        ENGINE,
        "POST",
        _path(service, "/preview"),
        body={"customer": customer, "limit": limit},
        timeout_seconds=PREVIEW_TIMEOUT_SECONDS,
    )
    if as_json:
        out.print_json(data=answer)
        return
    table = Table("customer", "currency", "lines", "published", "draft", "difference", box=None)
    rows = [*({"customer": "all", **one} for one in answer["totals"]), *answer["customers"]]
    for row in rows:
        before, after = row["before"], row["after"]
        lines = f"{before['lines']} -> {after['lines']}" if before["lines"] != after["lines"] else str(after["lines"])
        table.add_row(row["customer"], row["currency"], lines, before["total"], after["total"], row["difference"])
    version = f"version {answer['version']}" if answer["version"] else "nothing"
    out.print(f"{service}: the draft beside {version}, with the usage of {answer['usage_day']}")
    out.print(table)
    hidden = answer["customers_changed"] - len(answer["customers"])
    out.print(f"{answer['customers_changed']} customers change" + (f", {hidden} of them not shown" if hidden else ""))


@command(schema, "history")
def history(service: ServiceArgument, data: DataOption = None) -> None:
    """Show the versions, newest first: who published what, when and why.

    Example: `tallyport schema history HE`
    """
    answer = Installation(data_folder(data)).call(ENGINE, "GET", _path(service, "/history"))
    for one in answer["versions"]:
        units = ", ".join(unit["id"] for unit in one["units"])
        why = f": {one['reason']}" if one["reason"] else ""
        out.print(f"{one['version']}  {one['published_at']}  {one['published_by']}{why}  ({units})", markup=False)
    if not answer["versions"]:
        out.print("nothing is published yet")


@command(schema, "revert")
def revert(
    service: ServiceArgument,
    version: Annotated[int, typer.Argument(help="The version whose units count again.", min=1)],
    reason: ReasonOption = "",
    data: DataOption = None,
) -> None:
    """Publish the units of an earlier version as a new one; they become the draft too. History only grows.

    Example: `tallyport schema revert HE 1 --reason "back to one price per user"`
    """
    body = {"version": version, "reason": reason}
    _print_published(Installation(data_folder(data)).call(ENGINE, "POST", _path(service, "/revert"), body=body))
