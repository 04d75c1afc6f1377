"""``tallyport catalog validate | diff | apply | show`` and ``tallyport schema publish | show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tallyport_local.catalog_file import read_catalog
from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, out
from tallyport_local.installation import Installation

ENGINE: Final = "billing-engine"
_MARKS: Final = {"added": "[green]+[/green]", "changed": "[yellow]~[/yellow]", "removed": "[red]-[/red]"}

catalog = new_app("The catalogue as code: services, counters, plans, prices, billing units in one YAML file.")
schema = new_app("Service schemas: the published rules by which a service appears in billing.")
app.add_typer(catalog, name="catalog")
app.add_typer(schema, name="schema")

FileArgument = Annotated[Path, typer.Argument(help="The catalogue, a YAML file.")]


def _print_changes(changes: list[dict[str, Any]]) -> None:
    for change in changes:
        out.print(f"{_MARKS.get(change['action'], '?')} {change['entity']}  ", end="")
        out.print(change.get("detail") or "", markup=False)
    if not changes:
        out.print("no changes")


@command(catalog, "validate")
def validate(file: FileArgument) -> None:
    """Check a catalogue without any server: fields, references, duplicates, prices.

    Every mistake is printed as `FILE:LINE: FIELD: what is wrong`; the exit code is then 2.

    Example: `tallyport catalog validate examples/provider/catalog.yaml`
    """
    document = read_catalog(file)
    plans = sum(len(service.plans) for service in document.services)
    units = sum(len(service.billing_units) for service in document.services)
    out.print(f"{file} is valid: {len(document.services)} services, {plans} plans, {units} billing units")


@command(catalog, "diff")
def diff(file: FileArgument, data: DataOption = None) -> None:
    """Show what `apply` would change; nothing is written.

    Example: `tallyport catalog diff examples/provider/catalog.yaml`
    """
    body = read_catalog(file).model_dump(mode="json", exclude_none=True)
    answer = Installation(data_folder(data)).call(ENGINE, "POST", "/v1/catalog/diff", body=body)
    _print_changes(answer["changes"])


@command(catalog, "apply")
def apply(file: FileArgument, data: DataOption = None) -> None:
    """Bring the engine's catalogue to what the file says; billing units become drafts until published.

    Example: `tallyport catalog apply examples/provider/catalog.yaml && tallyport schema publish HE`
    """
    body = read_catalog(file).model_dump(mode="json", exclude_none=True)
    answer = Installation(data_folder(data)).call(ENGINE, "PUT", "/v1/catalog", body=body)
    _print_changes(answer["changes"])


@command(catalog, "show")
def show_catalog(data: DataOption = None) -> None:
    """Print the engine's catalogue as JSON."""
    out.print_json(data=Installation(data_folder(data)).call(ENGINE, "GET", "/v1/catalog"))


@command(schema, "publish")
def publish(
    service: Annotated[str, typer.Argument(help="The service's id, e.g. HE.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the version.")] = "",
    data: DataOption = None,
) -> None:
    """Make the draft of a service's billing units a new version; the next transfer uses it, no earlier batch changes.

    Example: `tallyport schema publish HE --reason "users by megabyte"`
    """
    path = f"/v1/services/{service}/schema/publish"
    answer = Installation(data_folder(data)).call(ENGINE, "POST", path, body={"reason": reason})
    units = ", ".join(unit["id"] if isinstance(unit, dict) else str(unit) for unit in answer.get("units") or [])
    out.print(f"{answer['service']}: version {answer['version']} is published ({units})")


@command(schema, "show")
def show_schema(
    service: Annotated[str, typer.Argument(help="The service's id.")],
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show the published version of a service's schema and its draft."""
    answer = Installation(data_folder(data)).call(ENGINE, "GET", f"/v1/services/{service}/schema")
    if as_json:
        out.print_json(data=answer)
        return
    for name in ("published", "draft"):
        part = answer.get(name) or {}
        units = part if isinstance(part, list) else part.get("units", [])
        version = f" version {part['version']}" if isinstance(part, dict) and part.get("version") else ""
        out.print(f"[bold]{name}[/bold]{version}" + ("" if units else ": none"))
        for unit in units:
            quantity = unit.get("quantity", "status")
            counted = quantity["counter"] if isinstance(quantity, dict) else quantity
            out.print(f"  {unit['id']}: {unit['unit']} by {counted} at {unit.get('price')}", markup=False)
