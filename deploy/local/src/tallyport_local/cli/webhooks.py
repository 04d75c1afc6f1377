"""``tallyport webhooks list | deliveries | replay``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from tallyport_local.cli.reports import BUILDER
from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, new_table, out
from tallyport_local.installation import Installation

webhooks = new_app("Webhooks: billing systems that are told what became of reports, as TALLYPORT_WEBHOOKS__FILE says.")
app.add_typer(webhooks, name="webhooks")

NameArgument = Annotated[str, typer.Argument(help="The webhook's name, as `webhooks list` shows it.")]


@command(webhooks, "list")
def list_webhooks(
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """List the receivers and how each stands."""
    found = Installation(data_folder(data)).call(BUILDER, "GET", "/v1/webhooks")
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("name", "url", "events", "waiting", "delivered", "given up", "last delivered")
    for one in found:
        counts = (str(one[name]) for name in ("waiting", "delivered", "given_up"))
        table.add_row(one["name"], one["url"], " ".join(one["events"]), *counts, one["last_delivered_at"] or "never")
    out.print(table)


@command(webhooks, "deliveries")
def deliveries(
    name: NameArgument,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """List the messages to a receiver and what became of them.

    Example: `tallyport webhooks deliveries erp`
    """
    found = Installation(data_folder(data)).pages(BUILDER, f"/v1/webhooks/{name}/deliveries", at_most=limit)
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("created", "type", "state", "tries", "answer", "next try")
    for one in found:
        answer = one["error"] or (str(one["status"]) if one["status"] else "")
        later = one["next_at"] if one["state"] == "waiting" else ""
        table.add_row(one["created_at"], one["type"], one["state"], str(one["attempts"]), answer, later)
    out.print(table)


@command(webhooks, "replay")
def replay(
    name: NameArgument,
    since: Annotated[datetime, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="From when on, UTC.")],
    everything: Annotated[  # noqa: FBT002 - typer's way
        bool, typer.Option("--all", help="What was delivered too, not only what was given up.")
    ] = False,
    data: DataOption = None,
) -> None:
    """Send messages again that were given up. Receivers know a repetition by its id.

    Example: `tallyport webhooks replay erp --since 2026-11-20`
    """
    body = {"since": since.replace(tzinfo=UTC).isoformat(), "only_given_up": not everything}
    found = Installation(data_folder(data)).call(BUILDER, "POST", f"/v1/webhooks/{name}/replay", body=body)
    out.print(f"{found['messages']} messages are sent to {name} again", markup=False)
