"""``tallyport audit list | verify``."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, new_table, out
from tallyport_local.errors import OperationFailedError
from tallyport_local.installation import Installation

ENGINE: Final = "billing-engine"
VERIFY_TIMEOUT_SECONDS: Final = 600.0
SHOWN_CHARACTERS: Final = 60

audit = new_app("Who changed what in the billing engine, when and why.")
app.add_typer(audit, name="audit")


@command(audit, "list")
def list_entries(  # noqa: PLR0917 - typer takes options by position
    entity: Annotated[str | None, typer.Option(help="What was changed, or its beginning: override:HE-GOLD.")] = None,
    who: Annotated[str | None, typer.Option(help="Whose token it was.")] = None,
    since: Annotated[datetime | None, typer.Option(help="From this day on, UTC.", formats=["%Y-%m-%d"])] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1)] = 30,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show changes, newest first.

    Example: `tallyport audit list --entity override:HE-GOLD --json`
    """
    query = {
        "entity": entity,
        "who": who,
        "since": f"{since:%Y-%m-%d}T00:00:00Z" if since is not None else None,
        "limit": min(limit, 1000),
    }
    found = Installation(data_folder(data)).pages(ENGINE, "/v1/audit", query=query, at_most=limit)
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("no", "at", "who", "action", "entity", "before", "after", "why")
    for one in found:
        sides = (_brief(one["before"]), _brief(one["after"]))
        number, at = str(one["audit_no"]), one["at"][:19]
        table.add_row(number, at, one["who"], one["action"], one["entity"], *sides, one["reason"])
    out.print(table)


@command(audit, "verify")
def verify(
    expect: Annotated[
        str | None, typer.Option(help="NUMBER:SHA256 as an earlier run printed it: it has to be in the log still.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Follow the log's hashes from the first entry to the last. Exit code 1 when one was changed or is missing.

    Example: `tallyport audit verify`
    """
    found = Installation(data_folder(data)).call(
        ENGINE, "GET", "/v1/audit/verify", query={"expected": expect}, timeout_seconds=VERIFY_TIMEOUT_SECONDS
    )
    if not found["ok"]:
        raise OperationFailedError(f"{found['first_difference']}; {found['entries']} entries follow each other")
    out.print(f"{found['entries']} entries follow each other; the last is {found['entries']}:{found['sha256']}")


def _brief(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value.get("properties", value) if isinstance(value, dict) else value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
