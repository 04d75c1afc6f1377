"""Runs, taken files and requests in the collector's database."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta
from typing import Any, Final

from tallyport.contracts.collection import CollectionFailure
from tallyport.postgres.queries import load_queries

from usage_collector.runs.model import Run, Tally

RUN_RETENTION_DAYS: Final = 90
REQUEST_RETENTION_DAYS: Final = 400
_QUERIES: Final = load_queries("usage_collector.runs")


def queue(tx: sqlite3.Connection, run_id: str, source: str) -> None:
    """Somebody wants this source read."""
    tx.execute(_QUERIES["queue_run"], (run_id, source))


def _run(row: sqlite3.Row, source: str, now: datetime) -> Run:
    failures = [CollectionFailure.model_validate(one) for one in json.loads(row["failures"])]
    tally = Tally(row["samples"], row["objects"], failures, row["failure_count"])
    started_at = datetime.fromisoformat(row["started_at"]) if row["started_at"] else now
    return Run(row["run_id"], source, started_at, tally, recorded=True)


def next_queued(connection: sqlite3.Connection, source: str, now: datetime) -> Run | None:
    """The oldest run of ``source`` that waits."""
    row = connection.execute(_QUERIES["next_queued"], (source,)).fetchone()
    return _run(row, source, now) if row else None


def recover(tx: sqlite3.Connection, sources: set[str], now: datetime) -> list[Run]:
    """Queue what was under way when the collector ended; the runs of sources that are gone come back, to be failed."""
    tx.execute(_QUERIES["queue_interrupted"])
    return [
        _run(row, row["source"], now)
        for row in tx.execute(_QUERIES["orphans"]).fetchall()
        if row["source"] not in sources
    ]


def record_progress(tx: sqlite3.Connection, run: Run, tally: Tally) -> None:
    """Keep what the run has done up to the end of this transaction."""
    tx.execute(
        _QUERIES["record_progress"],
        {
            "run_id": run.run_id,
            "source": run.source,
            "started_at": run.started_at.isoformat(),
            "samples": tally.samples,
            "objects": tally.objects,
            "failure_count": tally.failure_count,
            "failures": json.dumps([one.model_dump() for one in tally.failures]),
        },
    )


def finish(tx: sqlite3.Connection, run: Run, at: datetime) -> None:
    """The run is over; what it did has been recorded."""
    tx.execute(_QUERIES["finish_run"], (run.tally.outcome, at.isoformat(), run.run_id, run.source))
    tx.execute(_QUERIES["purge_runs"], ((at - timedelta(days=RUN_RETENTION_DAYS)).isoformat(),))


def last_started(connection: sqlite3.Connection, source: str) -> datetime | None:
    """When ``source`` was last read."""
    at = connection.execute(_QUERIES["last_started"], (source,)).fetchone()["at"]
    return datetime.fromisoformat(at) if at else None


def last_runs(connection: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    """The newest runs first."""
    rows = [dict(row) for row in connection.execute(_QUERIES["last_runs"], (limit,))]
    return [{**row, "failures": json.loads(row["failures"])} for row in rows]


def destination_of(connection: sqlite3.Connection, source: str, name: str, sha256: str) -> str | None:
    """Where the file went if it was taken before."""
    row = connection.execute(_QUERIES["destination_of"], (source, name, sha256)).fetchone()
    return str(row["destination"]) if row else None


def record_taken(tx: sqlite3.Connection, run: Run, *, name: str, sha256: str, destination: str, at: datetime) -> None:
    """The file was taken, in this transaction."""
    tx.execute(_QUERIES["record_taken"], (run.source, name, sha256, destination, run.run_id, at.isoformat()))


def accept_request(tx: sqlite3.Connection, source: str, event_id: str, at: datetime) -> bool:
    """Whether the request is new."""
    tx.execute(_QUERIES["purge_requests"], ((at - timedelta(days=REQUEST_RETENTION_DAYS)).isoformat(),))
    return tx.execute(_QUERIES["accept_request"], (source, event_id, at.isoformat())).rowcount == 1
