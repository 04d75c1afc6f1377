"""``tallyport adjustment create | approve | withdraw | list``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tallyport_local.cli.catalog import ENGINE
from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, new_table, out
from tallyport_local.installation import Installation

adjustment = new_app("Adjustments: what is charged or credited by hand, as a line of the next batch.")
app.add_typer(adjustment, name="adjustment")

NumberArgument = Annotated[int, typer.Argument(help="The adjustment's number, as `adjustment list` shows it.", min=1)]


def _print(one: dict[str, Any]) -> None:
    said = f"adjustment {one['id']}: {one['amount']} {one['currency']} for {one['customer']}, {one['state']}"
    out.print(f"{said} ({one['reason']}: {one['description']}; by {one['author']})", markup=False)


@command(adjustment, "create")
def create(  # noqa: PLR0917 - typer's way
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    amount: Annotated[str, typer.Argument(help="What to charge; negative: to credit. After `--` if negative.")],
    currency: Annotated[str, typer.Argument(help="Of the amount, e.g. EUR.")],
    description: Annotated[str, typer.Option(help="What the bill says.")],
    reason: Annotated[str, typer.Option(help="A short code, e.g. goodwill.")],
    service: Annotated[str | None, typer.Option(help="The service it is about.")] = None,
    reference: Annotated[str | None, typer.Option(help="A ticket or a contract; shown as unit code.")] = None,
    data: DataOption = None,
) -> None:
    """Charge or credit a customer by hand. The next batch bills it; no line that is frozen changes.

    Example: `tallyport adjustment create --description "Outage" --reason goodwill -- cust-002 -12.50 EUR`
    """
    body = {"customer": customer, "amount": amount, "currency": currency, "description": description,
            "reason": reason, "service": service, "reference": reference}  # fmt: skip
    _print(Installation(data_folder(data)).call(ENGINE, "POST", "/v1/adjustments", body=body))


@command(adjustment, "approve")
def approve(number: NumberArgument, data: DataOption = None) -> None:
    """Agree to an adjustment that somebody else has written.

    Example: `tallyport adjustment approve 17`
    """
    _print(Installation(data_folder(data)).call(ENGINE, "POST", f"/v1/adjustments/{number}/approve"))


@command(adjustment, "withdraw")
def withdraw(number: NumberArgument, data: DataOption = None) -> None:
    """Take an adjustment back that no batch has billed.

    Example: `tallyport adjustment withdraw 17`
    """
    _print(Installation(data_folder(data)).call(ENGINE, "POST", f"/v1/adjustments/{number}/withdraw"))


@command(adjustment, "list")
def list_adjustments(
    customer: Annotated[str | None, typer.Option(help="Only of this customer.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1, max=1000)] = 30,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show adjustments and how they stand: open, approved, being_billed, billed or withdrawn.

    Example: `tallyport adjustment list --customer cust-002`
    """
    query = {"customer": customer, "limit": limit}
    found = Installation(data_folder(data)).call(ENGINE, "GET", "/v1/adjustments", query=query)
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("number", "customer", "amount", "currency", "state", "batch", "reason", "description", "author")
    for one in found:
        row = (one["customer"], one["amount"], one["currency"], one["state"], one["batch_date"] or "", one["reason"])
        table.add_row(str(one["id"]), *row, one["description"], one["author"])
    out.print(table)
