"""``tallyport transfer execute | begin | resume | cancel | status`` and ``tallyport verify``."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from tallyport_local.cli.catalog import ENGINE
from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, err, new_app, new_table, out
from tallyport_local.errors import InvalidInputError, OperationFailedError, StillWaitingError
from tallyport_local.installation import Installation

STEPS: Final = ("freeze-usage", "compute-lines", "publish-lines", "await-warehouse")
WAREHOUSE: Final = "report-builder"
_POLL_SECONDS: Final = 0.2
_TELL_SECONDS: Final = 5.0

transfer = new_app("Transfers: the runs that compute and freeze all lines of one date into the data warehouse.")
app.add_typer(transfer, name="transfer")

DateOption = Annotated[
    datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="The batch date (default: today).")
]
StepOption = Annotated[str | None, typer.Option("--from-step", help=f"One of {', '.join(STEPS)}.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for the light.")]


def _date(value: datetime | None) -> str | None:
    return value.date().isoformat() if value else None


def _begin(
    installation: Installation, batch_date: str | None, from_step: str | None, *, resume: bool
) -> dict[str, Any]:
    if from_step is not None and from_step not in STEPS:
        raise InvalidInputError(f"there is no step {from_step!r}; there are {', '.join(STEPS)}")
    body = {"batch_date": batch_date, "from_step": from_step, "resume": resume}
    answer: dict[str, Any] = installation.call(ENGINE, "POST", "/v1/transfers", body=body)
    return answer


def _light(transfer: dict[str, Any]) -> str:
    colour = {"green": "green", "orange": "dark_orange", "red": "red"}.get(transfer["light"], "white")
    return f"[{colour}]{transfer['light']}[/{colour}]"


def _wait(installation: Installation, began: dict[str, Any], timeout_seconds: float) -> None:
    """Follow the steps until the light is green.

    Raises:
        OperationFailedError: when it becomes red.
        StillWaitingError: when it is still orange after the time-out.
    """
    told = time.monotonic()
    deadline = told + timeout_seconds
    current, shown = began, ""
    while True:
        line = f"{current['batch_date']} revision {current['revision']}: {_light(current)} {current.get('step') or ''}"
        if line != shown:
            out.print(line)
            shown, told = line, time.monotonic()
        elif time.monotonic() - told > _TELL_SECONDS:
            for step in current["steps"]:
                if step["state"] == "running":
                    out.print(_progress(step), markup=False)
            told = time.monotonic()
        if current["light"] == "red":
            raise OperationFailedError(f"the transfer of {current['batch_date']} failed: {current.get('reason')}")
        if current["light"] == "green":
            out.print(_summary(current))
            return
        if time.monotonic() > deadline:
            step = current.get("step")
            raise StillWaitingError(f"the light is still {current['light']} at step {step}; it goes on by itself")
        time.sleep(_POLL_SECONDS)
        current = installation.call(ENGINE, "GET", f"/v1/transfers/{current['batch_date']}")


def _progress(step: dict[str, Any]) -> str:
    """How far a step is."""
    share = f"  {step['done'] * 100 // step['expected']} %" if step.get("expected") else ""
    rate = f"  {step['rows_per_second']} rows/s" if step.get("rows_per_second") else ""
    return f"  {step['name']:<16} {step['state']:<8} {step['rows']} rows{share}{rate}"


def _summary(transfer: dict[str, Any]) -> str:
    totals = ", ".join(f"{amount} {currency}" for currency, amount in (transfer.get("totals") or {}).items())
    return f"{transfer['lines']} lines, total {totals or 'nothing'}, sha256 {transfer.get('sha256')}"


@command(transfer, "execute")
def execute(
    batch_date: DateOption = None,
    from_step: StepOption = None,
    timeout_seconds: TimeoutOption = 600,
    data: DataOption = None,
) -> None:
    """Run a transfer and wait until the warehouse has confirmed it (the light is green).

    A date that has a batch gets a new revision. Exit code 1 when the light is red, 3 when it is orange after the
    time-out.

    Example: `tallyport transfer execute --date 2026-10-01`
    """
    installation = Installation(data_folder(data))
    _wait(installation, _begin(installation, _date(batch_date), from_step, resume=False), timeout_seconds)


@command(transfer, "begin")
def begin(batch_date: DateOption = None, from_step: StepOption = None, data: DataOption = None) -> None:
    """Start a transfer and return at once; watch it with `transfer status`."""
    started = _begin(Installation(data_folder(data)), _date(batch_date), from_step, resume=False)
    out.print(f"{started['batch_date']} revision {started['revision']}: {_light(started)}")


@command(transfer, "resume")
def resume(
    batch_date: DateOption = None,
    from_step: StepOption = None,
    timeout_seconds: TimeoutOption = 600,
    data: DataOption = None,
) -> None:
    """Go on with a transfer that failed or was stopped, from the step it reached or from the named one, and wait.

    Example: `tallyport transfer resume --date 2026-10-01 --from-step publish-lines`
    """
    installation = Installation(data_folder(data))
    _wait(installation, _begin(installation, _date(batch_date), from_step, resume=True), timeout_seconds)


@command(transfer, "cancel")
def cancel(batch_date: DateOption = None, data: DataOption = None) -> None:
    """Stop a transfer whose lines are not announced yet. It can be resumed, or begun anew.

    Example: `tallyport transfer cancel --date 2026-10-01`
    """
    installation = Installation(data_folder(data))
    transfers = installation.call(ENGINE, "GET", "/v1/transfers")
    day = _date(batch_date) or next((one["batch_date"] for one in transfers if one["light"] == "orange"), None)
    if day is None:
        raise OperationFailedError("no transfer is running")
    stopped = installation.call(ENGINE, "POST", f"/v1/transfers/{day}/cancel")
    out.print(f"{stopped['batch_date']} revision {stopped['revision']}: {_light(stopped)}, {stopped['reason']}")


@command(transfer, "status")
def transfer_status(
    batch_date: DateOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the last transfers, without a date.")] = 10,
) -> None:
    """Show one transfer with its steps, or the last ones."""
    installation = Installation(data_folder(data))
    if batch_date is None:
        found = installation.call(ENGINE, "GET", "/v1/transfers", query={"limit": limit})
    else:
        found = installation.call(ENGINE, "GET", f"/v1/transfers/{_date(batch_date)}")
    if as_json:
        out.print_json(data=found)
        return
    for one in found if isinstance(found, list) else [found]:
        out.print(f"{one['batch_date']} revision {one['revision']}: {_light(one)}  {_summary(one)}")
        if one.get("reason"):
            out.print(f"  {one['reason']}", markup=False)
        if one.get("late_waiting"):
            out.print(f"  late usage: {one['late_waiting']} values wait for the next batch")
        if batch_date is not None:
            for step in one.get("steps") or []:
                out.print(_progress(step), markup=False)


@command(app, "verify")
def verify(
    from_date: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First date.")] = None,
    to_date: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last date, included.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Prove that no line of any date was changed: hashes recomputed in engine and warehouse, and the chain between.

    Exit code 1 when anything differs.

    Example: `tallyport verify --from 2026-10-01 --to 2026-10-31`
    """
    installation = Installation(data_folder(data))
    query = {"from": _date(from_date), "to": _date(to_date)}
    rows = []
    for service in (ENGINE, WAREHOUSE):
        batches = installation.call(service, "GET", "/v1/batches", query=query)
        known = {(batch["batch_date"], batch["revision"]): batch for batch in batches}
        for (day, revision), batch in sorted(known.items()):
            path = f"/v1/batches/{day}/{revision}/verify"
            result = installation.call(service, "POST", path, timeout_seconds=600)
            broken = _broken_link(batch, known)
            row = {"service": service, "batch_date": day, "revision": revision, "lines": batch.get("lines")}
            rows.append(row | result | {"ok": result["ok"] and broken is None, "chain": broken or "ok"})
    rows += _disagreements(rows)
    if as_json:
        out.print_json(data=rows)
    else:
        _print_verification(rows)
    wrong = [row for row in rows if not row["ok"]]
    if wrong:
        err.print(f"[red]{len(wrong)} of {len(rows)} checks failed[/red]")
        raise typer.Exit(1)


def _broken_link(batch: dict[str, Any], known: dict[tuple[str, int], dict[str, Any]]) -> str | None:
    """Why the batch does not continue the one before it, when that one is in view."""
    before = known.get((batch.get("previous_date") or "", batch.get("previous_revision") or 0))
    if before is not None and before["sha256"] != batch.get("previous_sha256"):
        return f"the batch before it ({before['batch_date']} revision {before['revision']}) has another hash"
    return None


def _disagreements(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Batches whose recomputed hash differs between the engine and the warehouse."""
    by_batch: dict[tuple[str, int], set[str]] = {}
    for row in rows:
        by_batch.setdefault((row["batch_date"], row["revision"]), set()).add(str(row.get("recomputed")))
    return [
        {
            "service": "both", "batch_date": day, "revision": revision, "lines": None, "ok": False, "chain": "ok",
            "first_difference": "engine and warehouse hold different lines",
        }
        for (day, revision), hashes in by_batch.items()
        if len(hashes) > 1
    ]  # fmt: skip


def _print_verification(rows: list[dict[str, Any]]) -> None:
    table = new_table("date", "revision", "where", "lines", "result", "sha256")
    for row in rows:
        reason = row.get("first_difference") or (row["chain"] if row["chain"] != "ok" else "differs")
        kept = "unchanged"
        if row.get("let_go_at"):
            kept = f"let go on {row['let_go_at'][:10]} by retention; its kept hash is chained"
        result = f"[green]{kept}[/green]" if row["ok"] else f"[red]{reason}[/red]"
        lines = "" if row["lines"] is None else str(row["lines"])
        table.add_row(
            row["batch_date"], str(row["revision"]), row["service"], lines, result, row.get("recomputed") or ""
        )
    out.print(table)
    if not rows:
        out.print("no batches in that range")
