"""The tables of reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final, Literal, TypeAlias

import asyncpg
from tallyport.money import parse_decimal, plain
from tallyport.postgres.queries import load_queries

from report_builder.reports.model import Asker, Facts, Outcome, Part, PinnedBatch, Report, Wanted

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_QUERIES: Final = load_queries("report_builder.reports")


async def insert(
    connection: Connection,
    wanted: Wanted,
    *,
    asker: Asker,
    at: datetime,
    correlation_id: str | None,
    remarks: Facts,
) -> bool:
    """Note a request; false when its id is known."""
    found = await connection.fetchval(
        _QUERIES["insert_report"],
        wanted.report_id,
        wanted.kind,
        wanted.format,
        wanted.from_date,
        wanted.to_date,
        wanted.organisation,
        wanted.language,
        "requested",
        None,
        correlation_id,
        at,
        None,
        asker.name,
        asker.organisation,
        sorted({one for one in (wanted.organisation, asker.organisation) if one is not None}),
        _facts_json(remarks),
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


async def latest(
    connection: Connection, limit: int, organisation: str | None, after: tuple[datetime, str] | None
) -> list[Report]:
    """The latest reports, those that one organisation may see or all, newest first, going on after one of them."""
    return await _with_parts(
        connection, await connection.fetch(_QUERIES["reports"], limit, organisation, *(after or (None, None)))
    )


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
        asker=Asker(row["asked_by"], row["asker_organisation"]),
        visible_to=frozenset(row["visible_to"]),
        let_go_at=row["let_go_at"],
        remarks=json.loads(row["remarks"]),
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
    connection: Connection,
    report_id: str,
    *,
    batches: Sequence[PinnedBatch],
    missing: Sequence[date],
    facts: Facts,
    visible_to: Iterable[str],
) -> None:
    """Count the attempt, and fix what the report is made from and who may see it unless an earlier one did."""
    pinned = [(batch.batch_date.isoformat(), batch.revision, batch.sha256) for batch in batches]
    await connection.execute(
        _QUERIES["begin_rendering"],
        report_id,
        json.dumps(pinned),
        list(missing),
        _facts_json(facts),
        sorted(visible_to),
    )


async def progress(connection: Connection, report_id: str, rows_done: int, rows_total: int | None) -> bool:
    """How far it is; false when it is not being rendered any more."""
    return await connection.fetchval(_QUERIES["progress"], report_id, rows_done, rows_total) is not None


async def forgive_attempt(connection: Connection, report_id: str, reason: str | None) -> None:
    """Do not count the attempt under way; ``reason`` is what the next one waits for."""
    await connection.execute(_QUERIES["forgive_attempt"], report_id, reason)


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


async def finish_without(
    connection: Connection,
    report_id: str,
    state: Literal["failed", "cancelled"],
    *,
    reason: str,
    facts: Facts,
    at: datetime,
) -> None:
    """The report cannot be made, or is not wanted any more."""
    await connection.execute(_QUERIES["finish"], report_id, state, reason, "{}", _facts_json(facts), 0, at)


async def count_open(connection: Connection) -> dict[str, Any]:
    """How many reports wait and how many are being made."""
    return dict(await connection.fetchrow(_QUERIES["count_open"]) or {})


def _facts_json(facts: Facts) -> str:
    return json.dumps(facts, sort_keys=True, ensure_ascii=False)


async def kept_longer_than(
    connection: Connection, kind: str | None, others: Sequence[str], until: datetime
) -> list[str]:
    """The ready reports of a kind, or of all kinds but ``others``, that were finished before ``until``."""
    rows = await connection.fetch(_QUERIES["kept_longer_than"], kind, list(others), until)
    return [row["report_id"] for row in rows]


async def let_go(connection: Connection, report_id: str, at: datetime) -> None:
    """Its artifacts are gone."""
    await connection.execute(_QUERIES["let_go"], report_id, at)
