"""``tallyport override list | set | remove`` and ``tallyport price show``."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

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

ENGINE: Final = "billing-engine"

override = new_app("What one organisation pays for one plan, without touching the rest of the catalogue.")
price = new_app("What a plan costs, and which level of the sales tree says so.")
app.add_typer(override, name="override")
app.add_typer(price, name="price")

PlanArgument = Annotated[str, typer.Argument(help="The plan's id.")]
OrganisationArgument = Annotated[str, typer.Argument(help="The organisation's id.")]
IfMatchOption = Annotated[str | None, typer.Option(help="The tag that the override has to have still.")]


def _path(plan: str, organisation: str) -> str:
    return f"/v1/overrides/{quote(plan, safe='')}/{quote(organisation, safe='')}"


def _headers(if_match: str | None, reason: str) -> dict[str, str]:
    return because(reason) | ({"if-match": if_match} if if_match is not None else {})


@command(override, "list")
def list_overrides(
    organisation: Annotated[str | None, typer.Option(help="Only of this organisation.")] = None,
    plan: Annotated[str | None, typer.Option(help="Only of this plan.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show what organisations say about plans.

    Example: `tallyport override list --organisation var-north`
    """
    query = {"organisation": organisation, "plan": plan, "limit": 1000}
    found = Installation(data_folder(data)).pages(ENGINE, "/v1/overrides", query=query)
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("plan", "organisation", "currency", "properties")
    for one in found:
        table.add_row(one["plan"], one["organisation"], one["currency"] or "", _said(one["properties"]))
    out.print(table)


@command(override, "set")
def set_override(  # noqa: PLR0917 - typer takes options by position
    plan: PlanArgument,
    organisation: OrganisationArgument,
    properties: Annotated[list[str], typer.Argument(help="NAME=VALUE, all that the organisation says from now on.")],
    currency: Annotated[str | None, typer.Option(help="That of the amounts, if not the plan's.")] = None,
    reason: ReasonOption = "",
    if_match: IfMatchOption = None,
    data: DataOption = None,
) -> None:
    """Say what an organisation, and all below it, pays for a plan.

    Example: `tallyport override set HE-GOLD cust-002 sales_price=4.10 --reason "list of January"`
    """
    said = {}
    for one in properties:
        name, equals, value = one.partition("=")
        if not equals:
            raise InvalidInputError(f"{one!r} is not NAME=VALUE")
        said[name] = value
    body = {"properties": said, "currency": currency}
    installation = Installation(data_folder(data))
    answer = installation.call(ENGINE, "PUT", _path(plan, organisation), body=body, headers=_headers(if_match, reason))
    _print_changes(answer)


@command(override, "remove")
def remove_override(
    plan: PlanArgument,
    organisation: OrganisationArgument,
    reason: ReasonOption = "",
    if_match: IfMatchOption = None,
    data: DataOption = None,
) -> None:
    """Let an organisation pay what the levels above it say.

    Example: `tallyport override remove HE-GOLD cust-002`
    """
    answer = Installation(data_folder(data)).call(
        ENGINE, "DELETE", _path(plan, organisation), headers=_headers(if_match, reason)
    )
    _print_changes(answer)


@command(price, "show")
def show_price(
    plan: PlanArgument,
    organisation: Annotated[str | None, typer.Option(help="For whom; left out: what the plan itself says.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show the values of a plan's properties that count for an organisation, each with the level that says it.

    Example: `tallyport price show HE-GOLD --organisation cust-002`
    """
    path = f"/v1/prices/{quote(plan, safe='')}"
    answer = Installation(data_folder(data)).call(ENGINE, "GET", path, query={"organisation": organisation})
    if as_json:
        out.print_json(data=answer)
        return
    table = new_table("property", "value", "currency", "said by")
    for name, one in answer["properties"].items():
        table.add_row(name, one["value"], one["currency"] or "", one["source"])
    out.print(table)


def _said(properties: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(properties.items()))


def _print_changes(answer: dict[str, Any]) -> None:
    for change in answer["changes"]:
        out.print(f"{change['action']} {change['entity']}: {change['detail']}", markup=False)
    if not answer["changes"]:
        out.print("no changes")
