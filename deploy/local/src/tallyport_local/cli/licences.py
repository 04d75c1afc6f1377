"""``tallyport licences show | apply | set`` and ``tallyport billing-settings show | set``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from tallyport_local.cli.reports import BUILDER
from tallyport_local.cli.root import (
    DataOption,
    JsonOption,
    ReasonOption,
    app,
    because,
    command,
    data_folder,
    new_app,
    new_table,
    out,
)
from tallyport_local.errors import InvalidInputError
from tallyport_local.installation import Installation

licences = new_app("Licences: what is counted by a rule, or entered by hand.")
settings = new_app("Billing settings: how the provider bills, and since when.")
app.add_typer(licences, name="licences")
app.add_typer(settings, name="billing-settings")

FromOption = Annotated[
    datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first date it is valid (default: today).")
]


def _shown(count: Any) -> str:
    return "no data" if count is None else str(count)


@command(licences, "show")
def show(
    day: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Of this date's batch, not the newest.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show the licences and what they count; `--json` prints the document that `apply` takes.

    Example: `tallyport licences show --date 2026-11-22`
    """
    installation = Installation(data_folder(data))
    found = installation.call(BUILDER, "GET", "/v1/licences")
    if as_json:
        out.print_json(data=found)
        return
    query = {"date": day.date().isoformat()} if day else {}
    table = new_table("licence", "name", "family", "counted", "count", "said by")
    for one in found["licences"]:
        counts = installation.call(BUILDER, "GET", f"/v1/licences/{one['id']}/counts", query=query)
        until = query.get("date") or counts["batch_date"]
        valid = [entry for entry in counts["manual"] if until is None or entry["valid_from"] <= until]
        by_hand = counts["source"] == "manual"
        count = (valid[-1]["count"] if valid else None) if by_hand else counts["calculated"]
        said = f"{valid[-1]['noted_by']}, {valid[-1]['reason']}" if by_hand and valid else ""
        table.add_row(one["id"], one["name"], one["family"], counts["source"], _shown(count), said)
    out.print(table)


@command(licences, "apply")
def apply(
    file: Annotated[Path, typer.Argument(help="All licences there are, a YAML or JSON file.")],
    reason: ReasonOption = "",
    data: DataOption = None,
) -> None:
    """Make these the licences. Reports that were made stay as they are.

    Example: `tallyport licences apply licences.yaml --reason "price list of January"`
    """
    try:
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{file}: {error}") from error
    found = Installation(data_folder(data)).call(BUILDER, "PUT", "/v1/licences", body=body, headers=because(reason))
    out.print(f"{len(found['licences'])} licences")


@command(licences, "set")
def put_count(
    licence: Annotated[str, typer.Argument(help="The id of a licence that is counted by hand.")],
    count: Annotated[int, typer.Argument(min=0, help="How many there are.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the count.")],
    valid_from: FromOption = None,
    data: DataOption = None,
) -> None:
    """Enter a count by hand. The past keeps the value it had.

    Example: `tallyport licences set cc-agents 40 --from 2026-12-01 --reason "contract 17"`
    """
    body = {"count": count, "valid_from": valid_from.date().isoformat() if valid_from else None}
    place = f"/v1/licences/{licence}/manual-count"
    found = Installation(data_folder(data)).call(BUILDER, "PUT", place, body=body, headers=because(reason))
    out.print(f"{licence}: {found['count']} from {found['valid_from']} on", markup=False)


@command(settings, "show")
def show_settings(
    day: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Those of this date (default: today).")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show the billing settings that are valid on a date."""
    query = {"date": day.date().isoformat()} if day else {}
    found = Installation(data_folder(data)).call(BUILDER, "GET", "/v1/billing-settings", query=query)
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("setting", "value")
    for name, value in found.items():
        table.add_row(name, "" if value is None else str(value))
    out.print(table)


@command(settings, "set")
def put_settings(  # noqa: PLR0917 - typer passes every option by name
    licence_model: Annotated[str | None, typer.Option(help="perpetual | subscription")] = None,
    counts: Annotated[str | None, typer.Option(help="allocated | used")] = None,
    billing_mode: Annotated[str | None, typer.Option(help="OPEX | CAPEX")] = None,
    assurance: Annotated[bool | None, typer.Option(help="Premium software assurance from the core users.")] = None,
    move_to_cloud: Annotated[bool | None, typer.Option(help="Move to cloud from the core users.")] = None,
    valid_from: FromOption = None,
    reason: ReasonOption = "",
    data: DataOption = None,
) -> None:
    """Change billing settings from a date on; what is not said stays as it is, and the past keeps what it had.

    Example: `tallyport billing-settings set --counts allocated --billing-mode CAPEX --assurance`
    """
    installation = Installation(data_folder(data))
    since = valid_from.date().isoformat() if valid_from else None
    known = installation.call(BUILDER, "GET", "/v1/billing-settings", query={"date": since} if since else {})
    wanted = {"licence_model": licence_model, "counts": counts, "billing_mode": billing_mode, "assurance": assurance,
              "move_to_cloud": move_to_cloud}  # fmt: skip
    body = {name: known[name] if value is None else value for name, value in wanted.items()} | {"valid_from": since}
    found = installation.call(BUILDER, "PUT", "/v1/billing-settings", body=body, headers=because(reason))
    said = ", ".join(f"{name} {found[name]}" for name in wanted)
    out.print(f"from {found['valid_from']} on: {said}", markup=False)
