"""Rendering one report, in a process of its own: ``python -m report_builder.reports.render``.

The order comes as one line of JSON on standard input, which stays open: when it ends, the service is gone and so is
this process. Progress and the outcome go to standard output, a line of JSON each. The process does the work of the CPU
beside the service's event loop, and gives all its memory back when it ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Self

import asyncpg
from tallyport.money import plain

from report_builder.artifacts.model import ArtifactConflictError, file_name, folder_of
from report_builder.artifacts.service import STORE_ERRORS, ArtifactStore, open_store, put_with_manifest, staged
from report_builder.documents.csv_document import completeness_csv
from report_builder.documents.formats import renderer
from report_builder.documents.model import DocumentError, Rendered
from report_builder.reports.compose import Composition, compose, pour
from report_builder.reports.model import Facts, PinnedBatch, Wanted

EXIT_ORPHANED: Final = 75
_PROGRESS_SECONDS: Final = 0.5
_AWAY: Final[tuple[type[Exception], ...]] = (
    *STORE_ERRORS,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
)


@dataclass(frozen=True, slots=True)
class Order:
    """What to render, from what, and where to."""

    wanted: Wanted
    batches: tuple[PinnedBatch, ...]
    missing: tuple[date, ...]
    completeness: Facts
    dsn: str
    password: str | None
    store_url: str
    store_options: dict[str, Any]

    def to_line(self) -> bytes:
        """The order as a line of JSON. It holds the password: it goes through a pipe and nowhere else."""
        return json.dumps(asdict(self), default=date.isoformat).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what ``to_line`` wrote."""
        raw = json.loads(line)
        wanted = raw.pop("wanted")
        for name in ("from_date", "to_date"):
            wanted[name] = date.fromisoformat(wanted[name])
        raw["batches"] = tuple(
            PinnedBatch(date.fromisoformat(one["batch_date"]), one["revision"], one["sha256"]) for one in raw["batches"]
        )
        raw["missing"] = tuple(map(date.fromisoformat, raw["missing"]))
        return cls(wanted=Wanted(**wanted), **raw)


class Progress:
    """Tells how far it is, not too often."""

    def __init__(self, say: Callable[[dict[str, Any]], None], rows_total: int) -> None:
        self._say = say
        self._total = rows_total
        self._done = 0
        self._last = 0.0
        self._tell()

    def rows(self, count: int) -> None:
        """So many rows more."""
        self._done += count
        if time.monotonic() - self._last >= _PROGRESS_SECONDS:
            self._tell()

    def _tell(self) -> None:
        self._last = time.monotonic()
        self._say({"rows_done": self._done, "rows_total": self._total})


async def render(order: Order, store: ArtifactStore, say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Render and keep the artifact; returns what the service notes.

    Raises:
        DocumentError, ArtifactConflictError: the report cannot be made.
        OSError, asyncpg.PostgresError: something is away.
    """
    with staged(store) as (path, file):
        connection = await asyncpg.connect(
            order.dsn,
            password=order.password,
            timeout=10,
            server_settings={"application_name": "report-builder-render", "timezone": "UTC"},
        )
        try:
            async with compose(connection, order.wanted, order.batches, order.missing, order.completeness) as composed:
                progress = Progress(say, composed.document.rows)
                rendered = await pour(
                    connection, composed, renderer(order.wanted.format, file, composed.document), progress.rows
                )
        finally:
            await connection.close()
        file.flush()
        return _keep(order, store, composed, rendered, path)


def _keep(order: Order, store: ArtifactStore, composed: Composition, rendered: Rendered, path: Path) -> dict[str, Any]:
    wanted = order.wanted
    # Of a table in which several columns add up, the first is what the report comes to.
    totals = {total.currency: plain(total.amounts[0]) for total in composed.document.totals}
    facts: Facts = dict(composed.completeness)
    if rendered.replaced:
        facts["replaced_characters"] = rendered.replaced
    manifest = {
        "kind": wanted.kind,
        "format": wanted.format,
        "from_date": wanted.from_date.isoformat(),
        "to_date": wanted.to_date.isoformat(),
        "organisation": wanted.organisation,
        "language": wanted.language,
        "batches": [
            {"batch_date": one.batch_date.isoformat(), "revision": one.revision, "sha256": one.sha256}
            for one in order.batches
        ],
        "rows": rendered.rows,
        "totals": totals,
        "completeness": facts,
    }
    name = file_name(wanted.kind, wanted.from_date, wanted.to_date, wanted.organisation, wanted.format)
    beside = {}
    if wanted.format == "csv":
        # Rows only is what makes a .csv one; what it cannot say of itself stands beside it.
        beside[f"{name.removesuffix('.csv')}.completeness.csv"] = completeness_csv(composed.document)
    folder = folder_of(wanted.kind, wanted.to_date, wanted.report_id)
    artifact = put_with_manifest(store, folder, name, path, manifest, beside)
    return {"parts": [{**asdict(artifact), "rows": rendered.rows}], "totals": totals, "completeness": facts}


def _end_with_the_service() -> None:
    # Nothing more is ever written to standard input; reading ends when its other end is closed, by whatever death.
    sys.stdin.buffer.read()
    os._exit(EXIT_ORPHANED)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Take one order from standard input, and end."""
    # Rows make garbage, but no cycles: looking for them again and again would be a tenth of the work.
    gc.disable()
    order = Order.from_line(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_service, daemon=True, name="watch").start()
    try:
        _say({"done": asyncio.run(render(order, open_store(order.store_url, order.store_options), _say))})
    except (DocumentError, ArtifactConflictError) as error:
        _say({"failed": str(error)})
    except _AWAY as error:
        # An object store's errors go on for a page; the first line says it.
        _say({"away": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"})
    # The watching thread still reads standard input, which would hold up an ordinary end.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
