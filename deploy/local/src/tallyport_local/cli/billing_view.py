"""``tallyport billing-view register | import | list | show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, new_table, out
from tallyport_local.errors import InvalidInputError
from tallyport_local.installation import Installation

ENGINE: Final = "billing-engine"
PATH: Final = "/v1/billing-views"
RUN_TIMEOUT_SECONDS: Final = 600.0

billing_view = new_app("Registered SQL views: billing units whose objects and quantities a query names.")
app.add_typer(billing_view, name="billing-view")

PlanType = Literal["customer_plan", "user_plan", "application"]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file} is not UTF-8 text: {error}") from None


def _print_registered(answer: dict[str, Any]) -> None:
    state = "is registered" if answer["changed"] else "was registered already"
    out.print(f"{answer['name']}: version {answer['version']} {state}; it gives {answer['rows']} rows", markup=False)
    for warning in answer["warnings"]:
        out.print(f"warning: {warning}", markup=False)
    unit = f"{{view: {answer['name']}}}"
    out.print(
        f"a unit of {answer['service']} bills by it with: plan_type: {answer['plan_type']}, unit: {unit}", markup=False
    )


@command(billing_view, "register")
def register(  # noqa: PLR0917 - options, by name
    name: Annotated[str, typer.Option(help="Its name: lower case letters, digits, - and _.")],
    service: Annotated[str, typer.Option(help="The service whose billing units may use it.")],
    plan_type: Annotated[PlanType, typer.Option(help="What its lines are priced by.")],
    label: Annotated[str, typer.Option(help="What administrators see.")],
    quantity_column: Annotated[str, typer.Option(help="The column that holds the quantity.")],
    sql: Annotated[Path, typer.Option(help="A file with the SELECT statement, or the CREATE VIEW.", exists=True)],
    dialect: Annotated[Literal["postgres", "tsql"], typer.Option(help="tsql: as written for SQL Server.")] = "postgres",
    data: DataOption = None,
) -> None:
    """Check a view, run it once, and keep it as a new version. Published schemas keep the version they have.

    Example: `tallyport billing-view register --name excess-usage --service HE --plan-type customer_plan
    --label "Per Instance - Excess Usage" --quantity-column excess_mb --sql examples/views/excess-usage.sql`
    """
    body = {
        "name": name,
        "service": service,
        "plan_type": plan_type,
        "label": label,
        "quantity_column": quantity_column,
        "dialect": dialect,
        "sql": _text(sql),
    }
    _print_registered(
        Installation(data_folder(data)).call(ENGINE, "POST", PATH, body=body, timeout_seconds=RUN_TIMEOUT_SECONDS)
    )


@command(billing_view, "import")
def import_script(  # noqa: PLR0917 - options, by name
    file: Annotated[Path, typer.Argument(help="A T-SQL script that calls sp_BillingUnit_Manage.", exists=True)],
    name: Annotated[str | None, typer.Option(help="Instead of a name made of the view's.")] = None,
    service: Annotated[str | None, typer.Option(help="Where the script does not say it.")] = None,
    quantity_column: Annotated[str | None, typer.Option(help="Where the script does not say it.")] = None,
    sql: Annotated[Path | None, typer.Option(help="The view, if the script does not create it.", exists=True)] = None,
    data: DataOption = None,
) -> None:
    """Register the views of an older panel's script, as it was run there.

    Example: `tallyport billing-view import examples/views/excess-usage.tsql.sql --service HE`
    """
    body = {
        "script": _text(file),
        "name": name,
        "service": service,
        "quantity_column": quantity_column,
        "sql": None if sql is None else _text(sql),
    }
    answer = Installation(data_folder(data)).call(
        ENGINE, "POST", f"{PATH}/import", body=body, timeout_seconds=RUN_TIMEOUT_SECONDS
    )
    for one in answer["registered"]:
        _print_registered(one)
        if one["ignored"]:
            out.print(f"ignored parameters: {', '.join(one['ignored'])}", markup=False)


@command(billing_view, "list")
def list_views(data: DataOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - typer's way
    """Show every view in its newest version."""
    answer = Installation(data_folder(data)).pages(ENGINE, PATH)
    if as_json:
        out.print_json(data=answer)
        return
    table = new_table("view", "version", "service", "plan type", "quantity", "label", "registered")
    for one in answer:
        said = f"{one['registered_at']} by {one['registered_by']}"
        table.add_row(
            one["name"],
            str(one["version"]),
            one["service"],
            one["plan_type"],
            one["quantity_column"],
            one["label"],
            said,
        )
    out.print(table if answer else "no view is registered")


@command(billing_view, "show")
def show_view(
    name: Annotated[str, typer.Argument(help="The view's name.")],
    version: Annotated[int | None, typer.Option(help="An earlier version.", min=1)] = None,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show a view: its versions, the SQL as it was given, and as it runs where it was translated."""
    answer = Installation(data_folder(data)).call(ENGINE, "GET", f"{PATH}/{name}")
    if as_json:
        out.print_json(data=answer)
        return
    versions = answer["versions"]
    for one in versions:
        out.print(f"{one['version']}  {one['registered_at']}  {one['registered_by']}  {one['label']}", markup=False)
    shown = next((one for one in versions if version is None or one["version"] == version), None)
    if shown is None:
        raise InvalidInputError(f"view {name!r} has no version {version}")
    out.print(f"\nversion {shown['version']}, {shown['dialect']}, quantity {shown['quantity_column']}:\n", markup=False)
    out.print(shown["source_sql"].strip(), markup=False)
    if shown["dialect"] != "postgres":
        out.print(f"\nwhich runs as:\n\n{shown['sql']}", markup=False)
