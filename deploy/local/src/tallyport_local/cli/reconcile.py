"""``tallyport reconcile`` and ``tallyport findings acknowledge``."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated, Any

import typer

from tallyport_local.cli.catalog import ENGINE
from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, out
from tallyport_local.installation import Installation

findings = new_app("What reconciling has found.")
app.add_typer(findings, name="findings")


@command(app, "reconcile")
def reconcile(  # noqa: PLR0917 - options, by name
    batch_date: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="The batch date (default: today).")
    ] = None,
    quiet_days: Annotated[int, typer.Option(min=1, help="So many days without usage are worth a finding.")] = 7,
    moved_percent: Annotated[int, typer.Option(min=0, help="A total that moved by more per cent than this ...")] = 20,
    moved_amount: Annotated[int, typer.Option(min=0, help="... and by more than this, in its currency.")] = 10,
    show_all: Annotated[bool, typer.Option("--all", help="Acknowledged findings too.")] = False,  # noqa: FBT002
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Compare usage, directory and a batch with each other, and the batch with the one before.

    Found are samples of unknown and of removed objects, subscriptions without usage, allocations below what is used,
    and customers whose total moved. Exit code 1 while there are findings that nobody has acknowledged.

    Example: `tallyport reconcile --date 2026-10-01`
    """
    query: dict[str, Any] = {
        "quiet_days": quiet_days, "moved_percent": moved_percent, "moved_amount": moved_amount
    }  # fmt: skip
    if batch_date is not None:
        query["date"] = batch_date.date().isoformat()
    answer = Installation(data_folder(data)).call(ENGINE, "GET", "/v1/reconciliation", query=query, timeout_seconds=600)
    if as_json:
        out.print_json(data=answer)
    else:
        _print(answer, show_all=show_all)
    if answer["open"]:
        raise typer.Exit(1)


def _print(answer: dict[str, Any], *, show_all: bool) -> None:
    counts = Counter(one["kind"] for one in answer["findings"] if one["acknowledged"] is None)
    for one in answer["findings"]:
        said = one["acknowledged"]
        if said is None:
            out.print(f"{one['id']}  {one['message']}", markup=False)
        elif show_all:
            out.print(f"{one['id']}  {one['message']} - {said['by']}: {said['reason']}", markup=False)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing is open"
    out.print(f"batch {answer['batch_date']}, usage of {answer['usage_day']}: {told}", markup=False)


@command(findings, "acknowledge")
def acknowledge(
    finding: Annotated[str, typer.Argument(help="The finding's id, as `tallyport reconcile` shows it.")],
    reason: Annotated[str, typer.Option(help="Why it may stay as it is.")],
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="It comes back after this date (default: never).")
    ] = None,
    data: DataOption = None,
) -> None:
    """Say why a finding may stay; it is no longer open.

    Example: `tallyport findings acknowledge 3f0a5d... --reason "test accounts, kept on purpose"`
    """
    body = {"reason": reason, "until": until.date().isoformat() if until else None}
    Installation(data_folder(data)).call(ENGINE, "POST", f"/v1/findings/{finding}/acknowledge", body=body)
    out.print(f"{finding} is acknowledged")
