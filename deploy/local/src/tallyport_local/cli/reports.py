"""``tallyport report create | list | cancel | link | download``."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, urljoin

import httpx
import typer
from tallyport.messaging.envelope import new_event_id

from tallyport_local.cli.root import DataOption, JsonOption, command, data_folder, new_app, new_table, out
from tallyport_local.cli.root import app as root
from tallyport_local.errors import InvalidInputError, OperationFailedError, StillWaitingError
from tallyport_local.installation import Installation, check

BUILDER: Final = "report-builder"
FORMATS: Final = ("xlsx", "xls", "xml", "csv")
KINDS: Final = ("billing-summary", "customer-detail", "reseller-detail")
LANGUAGES: Final = ("de", "en", "es", "fr")
_POLL_SECONDS: Final = 0.2

report = new_app("Reports: documents made from the warehouse, kept in object storage for ever.")
root.add_typer(report, name="report")


def _wait(installation: Installation, found: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
    """Follow a report until it is ready.

    Raises:
        OperationFailedError: when it failed, with its reason.
        StillWaitingError: after the time-out.
    """
    deadline = time.monotonic() + timeout_seconds
    while found["state"] not in {"ready", "failed", "cancelled"}:
        if time.monotonic() > deadline:
            done = f"{found.get('rows_done')} of {found.get('rows_total')} rows"
            why = f"; it {found['reason']}" if found.get("reason") else ""
            raise StillWaitingError(f"report {found['report_id']} is still {found['state']}, {done}{why}")
        time.sleep(_POLL_SECONDS)
        found = installation.call(BUILDER, "GET", f"/v1/reports/{found['report_id']}")
    if found["state"] != "ready":
        raise OperationFailedError(f"report {found['report_id']} is {found['state']}: {found.get('reason')}")
    return found


def _download(installation: Installation, found: dict[str, Any], target: Path | None) -> list[Path]:
    """Fetch every part, verify its size and hash, put it in place at once. A second part gets ``-2`` in its name."""
    written = []
    parts = found.get("parts") or []
    folder_or_file = target or Path(f"{found['kind']}-{found['report_id']}.{found['format']}")
    for number, part in enumerate(parts, start=1):
        file = folder_or_file
        if file.is_dir():
            file = file / Path(part["uri"]).name
        elif number > 1:
            file = file.with_name(f"{file.stem}-{number}{file.suffix}")
        _download_part(installation, found["report_id"], number, part, file)
        written.append(file)
    return written


def _download_part(installation: Installation, report_id: str, number: int, part: dict[str, Any], file: Path) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except OSError as error:
        raise InvalidInputError(f"{file}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream, installation.client(BUILDER) as client:
            try:
                with client.stream("GET", f"/v1/reports/{report_id}/parts/{number}") as response:
                    if not response.is_success:
                        response.read()
                    check(response)
                    for block in response.iter_bytes():
                        digest.update(block)
                        size += len(block)
                        stream.write(block)
            except httpx.HTTPError as error:
                raise OperationFailedError(f"{BUILDER} does not answer: {error!r}") from error
        if size != part["size"] or digest.hexdigest() != part["sha256"]:
            raise OperationFailedError(f"part {number} of {report_id} is not what was announced; nothing was kept")
        temporary.chmod(0o644)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _print_parts(found: dict[str, Any]) -> None:
    for part in found.get("parts") or []:
        out.print(f"  {part['uri']}  {part['rows']} rows  {part['size']} bytes  sha256 {part['sha256']}", markup=False)


@command(report, "create")
def create(  # noqa: PLR0917 - typer passes every option by name
    kind: Annotated[str, typer.Argument(help=f"The kind of report: {', '.join(KINDS)}.")],
    output_format: Annotated[str, typer.Option("--format", help=" | ".join(FORMATS))],
    from_date: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First date (default: yesterday).")
    ] = None,
    to_date: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last date, included (default: the first).")
    ] = None,
    organisation: Annotated[
        str | None, typer.Option(help="Only this organisation and what is below it; a reseller-detail needs one.")
    ] = None,
    language: Annotated[str, typer.Option(help=f"The language of sheets: {', '.join(LANGUAGES)}.")] = "en",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also download it to this file or folder.")
    ] = None,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait until it is ready.")
    ] = 600,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """Ask for a report and wait until it is in object storage. Without dates: yesterday's batch.

    Example: `tallyport report create customer-detail --format xlsx --from 2026-10-01 --to 2026-10-31 -o october.xlsx`
    """
    if output_format not in FORMATS:
        raise InvalidInputError(f"--format {output_format!r}: there are {', '.join(FORMATS)}")
    installation = Installation(data_folder(data))
    dates = {"from_date": from_date, "to_date": to_date or from_date}
    body = {name: value.date().isoformat() for name, value in dates.items() if value is not None}
    body |= {"report_id": new_event_id(), "kind": kind, "format": output_format, "language": language}
    if organisation is not None:
        body["organisation"] = organisation
    found = _wait(installation, installation.call(BUILDER, "POST", "/v1/reports", body=body), timeout_seconds)
    files = _download(installation, found, output) if output else []
    if as_json:
        out.print_json(data=found)
        return
    totals = ", ".join(f"{amount} {currency}" for currency, amount in (found.get("totals") or {}).items())
    out.print(f"report {found['report_id']} is ready: total {totals or 'nothing'}")
    _print_parts(found)
    for file in files:
        out.print(f"  written to {file}", markup=False)


@command(report, "list")
def list_reports(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    data: DataOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way
) -> None:
    """List the last reports."""
    found = Installation(data_folder(data)).call(BUILDER, "GET", "/v1/reports", query={"limit": limit})
    if as_json:
        out.print_json(data=found)
        return
    table = new_table("report", "kind", "format", "dates", "state", "rows", "parts")
    for one in found:
        dates = f"{one.get('from_date')} to {one.get('to_date')}"
        parts = str(len(one.get("parts") or []))
        rows = str(one.get("rows_done") or 0)
        table.add_row(one["report_id"], one["kind"], one["format"], dates, one["state"], rows, parts)
    out.print(table)


@command(report, "cancel")
def cancel(
    report_id: Annotated[str, typer.Argument(help="The report's id, as `report list` shows it.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the report.")] = "",
    data: DataOption = None,
) -> None:
    """Stop a report that is not finished yet.

    Example: `tallyport report cancel 3f0c... --reason "wrong month"`
    """
    found = Installation(data_folder(data)).call(
        BUILDER, "POST", f"/v1/reports/{report_id}/cancel", headers={"Tallyport-Reason": quote(reason)}
    )
    out.print(f"report {report_id} is {found['state']}: {found['reason']}", markup=False)


@command(report, "link")
def link(
    report_id: Annotated[str, typer.Argument(help="The report's id, as `report list` shows it.")],
    part: Annotated[int, typer.Option(min=1, help="Which part; they are counted from 1.")] = 1,
    valid_seconds: Annotated[int, typer.Option("--valid", min=1, help="Seconds; a week at most.")] = 900,
    data: DataOption = None,
) -> None:
    """Give a URL that works without a token for a while, for whoever shall have the artifact.

    Example: `tallyport report link 3f0c... --valid 3600`
    """
    installation = Installation(data_folder(data))
    place = f"/v1/reports/{report_id}/parts/{part}/link"
    found = installation.call(BUILDER, "POST", place, body={"valid_seconds": valid_seconds})
    out.print(f"{urljoin(installation.url(BUILDER), found['url'])}  until {found['expires_at']}", markup=False)


@command(report, "download")
def download(
    report_id: Annotated[str, typer.Argument(help="The report's id, as `report list` shows it.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file or folder (default: here).")] = None,
    data: DataOption = None,
) -> None:
    """Download a finished report; size and SHA-256 are checked.

    Example: `tallyport report download 3f0c... -o ./reports/`
    """
    installation = Installation(data_folder(data))
    found = installation.call(BUILDER, "GET", f"/v1/reports/{report_id}")
    if found["state"] != "ready":
        raise OperationFailedError(f"report {report_id} is {found['state']}: {found.get('reason') or 'not ready yet'}")
    for file in _download(installation, found, output):
        out.print(f"written to {file}", markup=False)
