"""The tables of reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, TypeAlias

import asyncpg
from tallyport.money import parse_decimal, plain
from tallyport.postgres.queries import load_queries

from report_builder.reports.model import Facts, Outcome, Part, PinnedBatch, Report, Wanted

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_QUERIES: Final = load_queries("report_builder.reports")


async def insert(
    connection: Connection, wanted: Wanted, *, at: datetime, correlation_id: str | None, refused: str | None = None
) -> bool:
    """Note a request, or with ``refused`` one that cannot be fulfilled; false when its id is known."""
    found = await connection.fetchval(
        _QUERIES["insert_report"],
        wanted.report_id,
        wanted.kind,
        wanted.format,
        wanted.from_date,
        wanted.to_date,
        wanted.organisation,
        wanted.language,
        "failed" if refused else "requested",
        refused,
        correlation_id,
        at,
        at if refused else None,
    )
    return found is not None


async def get(connection: Connection, report_id: str) -> Report | None:
    """One report with its parts."""
    row = await connection.fetchrow(_QUERIES["report"], report_id)
    return (await _with_parts(connection, [row]))[0] if row else None


async def lock(connection: Connection, report_id: str) -> Report | None:
    """One report, held until the end of the transaction."""
    row = await connection.fetchrow(_QUERIES["lock_report"], report_id)
    return (await _with_parts(connection, [row]))[0] if row else None


async def latest(connection: Connection, limit: int, organisation: str | None) -> list[Report]:
    """The latest reports, of one organisation's own or of all."""
    return await _with_parts(connection, await connection.fetch(_QUERIES["reports"], limit, organisation))


async def _with_parts(connection: Connection, rows: Sequence[asyncpg.Record]) -> list[Report]:
    parts: dict[str, list[Part]] = {row["report_id"]: [] for row in rows}
    for row in await connection.fetch(_QUERIES["parts"], list(parts)):
        parts[row["report_id"]].append(Part(row["key"], row["uri"], row["size"], row["sha256"], row["rows"]))
    return [_report(row, tuple(parts[row["report_id"]])) for row in rows]


def _report(row: asyncpg.Record, parts: tuple[Part, ...]) -> Report:
    return Report(
        wanted=Wanted(
            report_id=row["report_id"],
            kind=row["kind"],
            format=row["format"],
            from_date=row["from_date"],
            to_date=row["to_date"],
            organisation=row["organisation"],
            language=row["language"],
        ),
        state=row["state"],
        batches=tuple(
            PinnedBatch(date.fromisoformat(day), revision, sha256)
            for day, revision, sha256 in json.loads(row["batches"] or "[]")
        ),
        missing=tuple(row["missing"]),
        completeness=json.loads(row["completeness"]),
        rows_done=row["rows_done"],
        rows_total=row["rows_total"],
        attempts=row["attempts"],
        totals={currency: parse_decimal(amount) for currency, amount in json.loads(row["totals"]).items()},
        reason=row["reason"],
        correlation_id=row["correlation_id"],
        requested_at=row["requested_at"],
        parts=parts,
    )


async def take_next(connection: Connection, busy: set[str]) -> str | None:
    """Take the oldest open report that nobody renders; it is this session's until ``give_back``."""
    for row in await connection.fetch(_QUERIES["open_reports"]):
        report_id: str = row["report_id"]
        if report_id not in busy and await connection.fetchval(_QUERIES["take"], report_id):
            return report_id
    return None


async def give_back(connection: Connection, report_id: str) -> None:
    """Let others render it."""
    await connection.execute(_QUERIES["give_back"], report_id)


async def begin_rendering(
    connection: Connection, report_id: str, batches: Sequence[PinnedBatch], missing: Sequence[date], facts: Facts
) -> None:
    """Count the attempt and fix what the report is made from."""
    pinned = [(batch.batch_date.isoformat(), batch.revision, batch.sha256) for batch in batches]
    await connection.execute(
        _QUERIES["begin_rendering"], report_id, json.dumps(pinned), list(missing), _facts_json(facts)
    )


async def progress(connection: Connection, report_id: str, rows_done: int, rows_total: int | None) -> None:
    """How far it is."""
    await connection.execute(_QUERIES["progress"], report_id, rows_done, rows_total)


async def forgive_attempt(connection: Connection, report_id: str) -> None:
    """Do not count the attempt under way."""
    await connection.execute(_QUERIES["forgive_attempt"], report_id)


async def finish_ready(connection: Connection, report_id: str, outcome: Outcome, at: datetime) -> None:
    """The report is in object storage."""
    for number, part in enumerate(outcome.parts, start=1):
        await connection.execute(
            _QUERIES["insert_part"], report_id, number, part.key, part.uri, part.size, part.sha256, part.rows
        )
    totals = json.dumps({currency: plain(amount) for currency, amount in sorted(outcome.totals.items())})
    rows = sum(part.rows for part in outcome.parts)
    facts = _facts_json(outcome.completeness)
    await connection.execute(_QUERIES["finish"], report_id, "ready", None, totals, facts, rows, at)


async def finish_failed(connection: Connection, report_id: str, reason: str, facts: Facts, at: datetime) -> None:
    """The report cannot be made."""
    await connection.execute(_QUERIES["finish"], report_id, "failed", reason, "{}", _facts_json(facts), 0, at)


async def count_open(connection: Connection) -> dict[str, Any]:
    """How many reports wait and how many are being made."""
    return dict(await connection.fetchrow(_QUERIES["count_open"]) or {})


def _facts_json(facts: Facts) -> str:
    return json.dumps(facts, sort_keys=True, ensure_ascii=False)
