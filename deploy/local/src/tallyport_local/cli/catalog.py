"""``tallyport catalog validate | diff | apply | show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tallyport_local.catalog_file import read_catalog
from tallyport_local.cli.root import DataOption, ReasonOption, app, because, command, data_folder, err, new_app, out
from tallyport_local.installation import Installation

ENGINE: Final = "billing-engine"
_MARKS: Final = {"added": "[green]+[/green]", "changed": "[yellow]~[/yellow]", "removed": "[red]-[/red]"}

catalog = new_app("The catalogue as code: services, counters, plans, prices, billing units in one YAML file.")
app.add_typer(catalog, name="catalog")

FileArgument = Annotated[Path, typer.Argument(help="The catalogue, a YAML file.")]


def _print_changes(changes: list[dict[str, Any]]) -> None:
    for change in changes:
        out.print(f"{_MARKS.get(change['action'], '?')} {change['entity']}  ", end="")
        out.print(change.get("detail") or "", markup=False)
    if not changes:
        out.print("no changes")


def _print_warnings(answer: dict[str, Any]) -> None:
    for one in answer["warnings"]:
        err.print(f"[yellow]warning:[/yellow] {one['field']}: {one['message']}")


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
    _print_warnings(answer)
    out.print(f"compared with {answer['etag']}", markup=False)


@command(catalog, "apply")
def apply(
    file: FileArgument,
    if_match: Annotated[
        str | None, typer.Option(help="The tag that `diff` printed: apply only to the catalogue that it compared with.")
    ] = None,
    reason: ReasonOption = "",
    data: DataOption = None,
) -> None:
    """Bring the engine's catalogue to what the file says; billing units become drafts until published.

    What somebody else changes meanwhile is not overwritten: it ends with exit code 1, and nothing is applied.

    Example: `tallyport catalog apply examples/provider/catalog.yaml && tallyport schema publish HE`
    """
    body = read_catalog(file).model_dump(mode="json", exclude_none=True)
    installation = Installation(data_folder(data))
    tag = if_match or installation.call(ENGINE, "POST", "/v1/catalog/diff", body=body)["etag"]
    headers = {"if-match": tag, **because(reason)}
    answer = installation.call(ENGINE, "PUT", "/v1/catalog", body=body, headers=headers)
    _print_changes(answer["changes"])
    _print_warnings(answer)


@command(catalog, "show")
def show_catalog(data: DataOption = None) -> None:
    """Print the engine's catalogue as JSON."""
    out.print_json(data=Installation(data_folder(data)).call(ENGINE, "GET", "/v1/catalog"))
