"""``tallyport gate ...``: registered actions, messages, reconciliation, the glass to break, and the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from tallyport_local.cli.gate import NOTIFIER, gate
from tallyport_local.cli.root import (
    DataOption,
    JsonOption,
    ReasonOption,
    because,
    command,
    data_folder,
    new_app,
    new_table,
    out,
)
from tallyport_local.errors import InvalidInputError, OperationFailedError
from tallyport_local.installation import Installation

message = new_app("What a customer is asked, by action and language.")
gate.add_typer(message, name="message")

ItemOption = Annotated[list[str] | None, typer.Option("--item", help="PLAN=QUANTITY; may be given again.")]
ActionArgument = Annotated[str, typer.Argument(help="An action; `*` for any.")]


def pairs(values: list[str] | None, what: str) -> dict[str, str]:
    """``NAME=VALUE`` as it is typed.

    Raises:
        InvalidInputError: one has no equals sign.
    """
    found: dict[str, str] = {}
    for one in values or []:
        name, equals, value = one.partition("=")
        if not (name and equals and value):
            raise InvalidInputError(f"{one!r}: {what} is written NAME=VALUE")
        found[name] = value
    return found


def _items(values: list[str] | None) -> list[dict[str, str]]:
    return [{"plan": plan, "quantity_delta": many} for plan, many in pairs(values, "an item").items()]


@command(gate, "register")
def register(
    action: Annotated[str, typer.Argument(help="The action's name, for programs.")],
    label: Annotated[list[str], typer.Option("--label", help="LANGUAGE=NAME; may be given again.")],
    item: ItemOption = None,
    reason: ReasonOption = "",
    data: DataOption = None,
) -> None:
    """Register an action of your own, with its name by language and what it adds to the bill.

    Example: `tallyport gate register book_room --label en="Book a room" --item ROOM=1`
    """
    body = {"labels": pairs(label, "a label"), "items": _items(item)}
    call = Installation(data_folder(data)).call
    call(NOTIFIER, "PUT", f"/v1/actions/{action}", body=body, headers=because(reason))
    out.print(f"{action}: registered", markup=False)


@command(gate, "unregister")
def unregister(
    action: Annotated[str, typer.Argument(help="The action's name.")],
    reason: ReasonOption = "",
    data: DataOption = None,
) -> None:
    """Take a registered action out; requests for it are declined from then on."""
    Installation(data_folder(data)).call(NOTIFIER, "DELETE", f"/v1/actions/{action}", headers=because(reason))
    out.print(f"{action}: no longer registered", markup=False)


@command(message, "list")
def list_messages(data: DataOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - typer's way
    """List the messages that were written; all others are those that come with the gate."""
    found = Installation(data_folder(data)).call(NOTIFIER, "GET", "/v1/messages")
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("action", "language", "format", "text")
    for one in found:
        table.add_row(*(one[name] for name in ("action", "language", "format", "text")))
    out.print(table if found else "none; all messages are those that come with the gate")


@command(message, "set")
def set_message(  # noqa: PLR0917 - typer takes options by position
    action: ActionArgument,
    language: Annotated[str, typer.Argument(help="A language: de, pt-BR.")],
    text: Annotated[str, typer.Argument(help="The message, with places such as {customer} and {difference}.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="The text has emphasis and lists.")] = False,  # noqa: FBT002 - typer's way
    reason: ReasonOption = "",
    data: DataOption = None,
) -> None:
    """Write the message of an action in a language; an unknown place is refused.

    Example: `tallyport gate message set create_user en "**{new_plan}**: {difference} a month" --markdown`
    """
    body = {"text": text, "format": "markdown" if markdown else "plain"}
    call = Installation(data_folder(data)).call
    call(NOTIFIER, "PUT", f"/v1/messages/{action}/{language}", body=body, headers=because(reason))
    out.print(f"{action} {language}: written", markup=False)


@command(message, "remove")
def remove_message(
    action: ActionArgument,
    language: Annotated[str, typer.Argument(help="A language.")],
    reason: ReasonOption = "",
    data: DataOption = None,
) -> None:
    """Go back to the words that come with the gate."""
    path = f"/v1/messages/{action}/{language}"
    Installation(data_folder(data)).call(NOTIFIER, "DELETE", path, headers=because(reason))
    out.print(f"{action} {language}: removed", markup=False)


@command(message, "preview")
def preview(  # noqa: PLR0917 - typer takes options by position
    action: ActionArgument,
    customer: Annotated[str, typer.Option(help="Whose prices make the numbers.")],
    item: ItemOption = None,
    language: Annotated[str | None, typer.Option(help="Another language than the customer's.")] = None,
    text: Annotated[str | None, typer.Option(help="A message to try, instead of the one that holds.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="That text has emphasis and lists.")] = False,  # noqa: FBT002 - typer's way
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show a message with real numbers; nothing is asked and nothing is saved."""
    body: dict[str, Any] = {"customer": customer, "items": _items(item), "language": language}
    if text is not None:
        body["words"] = {"text": text, "format": "markdown" if markdown else "plain"}
    found = Installation(data_folder(data)).call(NOTIFIER, "POST", f"/v1/messages/{action}/preview", body=body)
    if as_json:
        out.print_json(data=found)
    else:
        out.print(found["text"], markup=False)


@command(gate, "reconcile")
def reconcile(
    customer: Annotated[str | None, typer.Option(help="Only this customer.")] = None,
    days: Annotated[int, typer.Option(min=1, max=400, help="How many days back.")] = 7,
    grace_minutes: Annotated[int, typer.Option(min=0, help="How long an allowed action may take.")] = 60,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """List what was allowed and never performed, and what was performed and never allowed; exit code 1 if any was."""
    query: dict[str, Any] = {"grace_minutes": grace_minutes, "since": str(datetime.now(UTC) - timedelta(days=days))}
    if customer is not None:
        query["customer"] = customer
    found = Installation(data_folder(data)).call(NOTIFIER, "GET", "/v1/gate/reconciliation", query=query)
    if as_json:
        out.print_json(data=found)
    for one in [] if as_json else found["never_decided"]:
        change = f"{one['old_plan'] or '-'} -> {one['new_plan']}"
        out.print(f"never allowed: {one['customer']} {one['kind']} {one['id']} {change} at {one['at']}", markup=False)
    for one in [] if as_json else found["never_performed"]:
        words = f"{one['customer']} {one['action']} {one['request_id']} ({one['reason']}) at {one['decided_at']}"
        out.print(f"never performed: {words}", markup=False)
    if found["never_decided"]:
        raise OperationFailedError(f"{len(found['never_decided'])} changes went around the gate")
    if not as_json and not found["never_performed"]:
        out.print("nobody went around the gate")


@command(gate, "break-glass")
def break_glass(
    reason: Annotated[str, typer.Argument(help="Why; it is in the log, and so is every decision made meanwhile.")],
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="For how long.")] = 30,
    data: DataOption = None,
) -> None:
    """Open the gate for everything, in an emergency."""
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    body = {"reason": reason, "until": until.isoformat()}
    found = Installation(data_folder(data)).call(NOTIFIER, "POST", "/v1/gate/break-glass", body=body)
    out.print(f"the gate stands open until {found['ends_at']}", markup=False)


@command(gate, "mend-glass")
def mend_glass(reason: ReasonOption = "", data: DataOption = None) -> None:
    """Shut the gate again, before the time."""
    Installation(data_folder(data)).call(NOTIFIER, "DELETE", "/v1/gate/break-glass", headers=because(reason))
    out.print("the gate is shut")


@command(gate, "audit")
def audit(
    export: Annotated[Path | None, typer.Option(help="Write the whole log to this file: .csv, or JSON lines.")] = None,
    data: DataOption = None,
) -> None:
    """Prove that the gate's log is whole, or write it to a file."""
    installation = Installation(data_folder(data))
    if export is not None:
        form = "csv" if export.suffix == ".csv" else "json"
        with installation.client(NOTIFIER) as client:
            answer = client.get("/v1/audit/export", params={"format": form})
        if not answer.is_success:
            raise OperationFailedError(f"{NOTIFIER}: {answer.status_code}")
        export.write_bytes(answer.content)
    found = installation.call(NOTIFIER, "GET", "/v1/audit/verify")
    if not found["ok"]:
        raise OperationFailedError(found["first_difference"])
    out.print(f"{found['entries']} entries, the last {found['sha256']}", markup=False)
