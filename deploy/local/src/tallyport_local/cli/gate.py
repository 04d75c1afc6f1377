"""``tallyport actions``, ``tallyport confirmations`` and ``tallyport gate``: the billable-action gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from tallyport.contracts.actions import ACTIONS, ActionRequest
from tallyport.usage_csv import reason_of

from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, new_table, out
from tallyport_local.errors import InvalidInputError
from tallyport_local.installation import TIMEOUT_SECONDS, Installation

NOTIFIER: Final = "notifier"

actions = new_app("Billable actions: what another service is about to do, and whether it may.")
confirmations = new_app("Confirmations: a customer's yes or no to what an action adds to the bill.")
gate = new_app("The gate's settings: which actions ask, and for which customers.")
app.add_typer(actions, name="actions")
app.add_typer(confirmations, name="confirmations")
app.add_typer(gate, name="gate")


def _read_request(file: Path) -> dict[str, Any]:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file}: {error.strerror}") from error
    try:
        ActionRequest.model_validate_json(raw)
    except ValidationError as error:
        raise InvalidInputError(f"{file}: {reason_of(error)}") from error
    body: dict[str, Any] = json.loads(raw)
    return body


@command(actions, "request")
def request(
    file: Annotated[Path, typer.Argument(help="The request, a JSON file.")],
    wait_seconds: Annotated[float, typer.Option("--wait", min=0, max=60, help="Seconds to wait for a decision.")] = 2,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Ask whether an action may be performed; it is decided at once, or waits for a confirmation.

    The file: `{"id","action","customer","actor":{"id","role","language"},"items":[{"plan","quantity_delta"}]}`

    Example: `tallyport actions request examples/provider/actions/create-user.json`
    """
    body = _read_request(file)
    answer = Installation(data_folder(data)).call(
        NOTIFIER,
        "POST",
        "/v1/billable-actions",
        body=body,
        query={"wait_seconds": wait_seconds},
        timeout_seconds=TIMEOUT_SECONDS + wait_seconds,
    )
    _print_action(answer, as_json=as_json)


@command(actions, "show")
def show_action(
    request_id: Annotated[str, typer.Argument(help="The request's id.")],
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Show what became of a request."""
    answer = Installation(data_folder(data)).call(NOTIFIER, "GET", f"/v1/billable-actions/{request_id}")
    _print_action(answer, as_json=as_json)


@command(actions, "outcome")
def outcome(
    request_id: Annotated[str, typer.Argument(help="The request's id.")],
    value: Annotated[str, typer.Argument(help="performed or failed.")],
    detail: Annotated[str, typer.Option(help="What happened.")] = "",
    data: DataOption = None,
) -> None:
    """Say what became of an allowed action, once."""
    body = {"outcome": value, "detail": detail}
    found = Installation(data_folder(data)).call(
        NOTIFIER, "POST", f"/v1/billable-actions/{request_id}/outcome", body=body
    )
    out.print(f"{request_id}: {found['outcome']}", markup=False)


def _difference(quote: dict[str, Any] | None) -> str:
    if not quote:
        return ""
    if quote.get("difference") is None:
        return "the price cannot be computed"
    return f"{quote['difference']} {quote.get('currency') or ''} a period".replace("  ", " ")


def _print_action(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        out.print_json(data=answer)
    elif answer["state"] == "decided":
        colour = "green" if answer["decision"] == "allowed" else "red"
        out.print(f"{answer['request_id']}: [{colour}]{answer['decision']}[/{colour}] ({answer.get('reason')})")
    else:
        out.print(f"{answer['request_id']}: waits for confirmation {answer.get('confirmation_id')}")
        out.print(f"  {_difference(answer.get('quote'))}", markup=False)


@command(confirmations, "list")
def list_confirmations(
    state: Annotated[str, typer.Option(help="open, or another state.")] = "open",
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """List the confirmations somebody has to answer."""
    found = Installation(data_folder(data)).call(NOTIFIER, "GET", "/v1/confirmations", query={"state": state})
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("confirmation", "customer", "action", "adds", "expires")
    for one in found:
        adds, expires = _difference(one.get("quote")), str(one.get("expires_at") or "")
        table.add_row(one["confirmation_id"], one["customer"], one["action"], adds, expires)
    out.print(table if found else f"no {state} confirmations")


@command(confirmations, "answer")
def answer_confirmation(
    confirmation_id: Annotated[str, typer.Argument(help="As `confirmations list` shows it.")],
    confirm: Annotated[bool, typer.Option("--confirm", help="Yes: perform it, and bill it.")] = False,  # noqa: FBT002 - typer's way
    decline: Annotated[bool, typer.Option("--decline", help="No.")] = False,  # noqa: FBT002 - typer's way
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Answer a confirmation, once; the answer holds for the quote that is shown now.

    Example: `tallyport confirmations answer 7c1d... --confirm`
    """
    if confirm == decline:
        raise InvalidInputError("say either --confirm or --decline")
    installation = Installation(data_folder(data))
    shown = installation.call(NOTIFIER, "GET", "/v1/confirmations", query={"state": "open"})
    quotes = {one["confirmation_id"]: one["quote"]["sha256"] for one in shown}
    if confirmation_id not in quotes:
        raise InvalidInputError(f"there is no open confirmation {confirmation_id}")
    body = {"answer": "confirm" if confirm else "decline", "quote_sha256": quotes[confirmation_id]}
    answer = installation.call(NOTIFIER, "POST", f"/v1/confirmations/{confirmation_id}/answer", body=body)
    if as_json:
        out.print_json(data=answer)
    else:
        out.print(f"{confirmation_id}: {'confirmed' if confirm else 'declined'}")


@command(confirmations, "token")
def token(
    confirmation_id: Annotated[str, typer.Argument(help="As `confirmations list` shows it.")],
    person: Annotated[str | None, typer.Option(help="Who will answer with it.")] = None,
    valid_seconds: Annotated[int, typer.Option(min=10, max=86400)] = 900,
    data: DataOption = None,
) -> None:
    """Make a token that shows one question and answers it once; it is shown here and nowhere else."""
    body = {"valid_seconds": valid_seconds, "person": person}
    path = f"/v1/confirmations/{confirmation_id}/token"
    found = Installation(data_folder(data)).call(NOTIFIER, "POST", path, body=body)
    out.print(found["token"], markup=False)


OnOff = Annotated[str | None, typer.Argument(help="on or off; without it the present value is shown.")]


def _on(value: str) -> bool:
    if value not in {"on", "off"}:
        raise InvalidInputError(f"{value!r}: say on or off")
    return value == "on"


@command(gate, "tick")
def tick(  # noqa: PLR0917 - typer takes options by position
    action: Annotated[str, typer.Argument(help=f"One of {', '.join(ACTIONS)}, or one that you registered.")],
    value: OnOff = None,
    other_person: Annotated[bool, typer.Option("--other-person", help="Who asked must not confirm.")] = False,  # noqa: FBT002 - typer's way
    two_above: Annotated[
        list[str] | None, typer.Option("--two-above", help="CURRENCY=AMOUNT above which two people must confirm.")
    ] = None,
    valid_minutes: Annotated[int | None, typer.Option(min=1, max=10080, help="How long a question is open.")] = None,
    data: DataOption = None,
) -> None:
    """Show or set whether an action asks at all, and who may confirm it.

    Example: `tallyport gate tick create_user on --two-above EUR=100`
    """
    installation, path = Installation(data_folder(data)), f"/v1/settings/actions/{action}"
    if value is not None:
        limits = {currency: amount for currency, _, amount in (one.partition("=") for one in two_above or [])}
        body = {
            "ticked": _on(value),
            "other_person": other_person,
            "two_above": limits,
            "valid_minutes": valid_minutes,
        }
        installation.call(NOTIFIER, "PUT", path, body=body)
    found = installation.call(NOTIFIER, "GET", path)
    options = ["somebody else than the asker"] if found["other_person"] else []
    options += [f"two above {amount} {currency}" for currency, amount in found["two_above"].items()]
    options += [f"{found['valid_minutes']} minutes"] if found["valid_minutes"] else []
    out.print(f"{action}: {'on' if found['ticked'] else 'off'}{', '.join(['', *options])}", markup=False)


@command(gate, "switch")
def switch(
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    value: OnOff = None,
    data: DataOption = None,
) -> None:
    """Show or set whether a customer is asked.

    Example: `tallyport gate switch cust-001 on`
    """
    installation, path = Installation(data_folder(data)), f"/v1/customers/{customer}/confirmation-switch"
    if value is not None:
        installation.call(NOTIFIER, "PUT", path, body={"on": _on(value)})
    found = installation.call(NOTIFIER, "GET", path)
    out.print(f"{customer}: {'on' if found['on'] else 'off'}")
