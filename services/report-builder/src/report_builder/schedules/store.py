"""The tables of schedules, their runs, and the sources that were heard of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg
from tallyport.contracts.reports import ReportRequest
from tallyport.postgres.queries import load_queries

from report_builder.schedules.model import Outcome, Schedule, Synchronisation

_QUERIES: Final = load_queries("report_builder.schedules")

RunState = Literal["synchronising", "requested", "refused"]


@dataclass(frozen=True, slots=True)
class Run:
    """One time that a schedule was due, and what came of it."""

    due_at: datetime
    report_id: str
    state: RunState
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run whose collectors have answered, or were waited for long enough."""

    schedule: str
    due_at: datetime
    request: ReportRequest
    owner: str | None
    synchronisation: Synchronisation


def _schedule(row: asyncpg.Record) -> Schedule:
    return Schedule(**{name: value for name, value in row.items() if name != "next_due_at"})


async def schedules(
    connection: Any, owner: str | None, *, after: str | None, limit: int
) -> list[tuple[Schedule, datetime]]:
    """The schedules of an organisation, or all, each with when it is due next."""
    rows = await connection.fetch(_QUERIES["schedules"], owner, after, limit)
    return [(_schedule(row), row["next_due_at"]) for row in rows]


async def lock(connection: Any, name: str) -> tuple[Schedule, datetime] | None:
    """One schedule and when it is due next, held until the end of the transaction."""
    row = await connection.fetchrow(_QUERIES["lock_schedule"], name)
    return (_schedule(row), row["next_due_at"]) if row else None


async def put(connection: Any, schedule: Schedule, next_due_at: datetime) -> None:
    """Make this the schedule of its name."""
    values = [getattr(schedule, name) for name in Schedule.__dataclass_fields__]
    await connection.execute(_QUERIES["put_schedule"], *values, next_due_at)


async def delete(connection: Any, name: str) -> None:
    """It asks for nothing more."""
    await connection.execute(_QUERIES["delete_schedule"], name)


async def take_due(connection: Any, now: datetime) -> tuple[Schedule, datetime] | None:
    """A schedule that is due, and since when; held until the end of the transaction."""
    row = await connection.fetchrow(_QUERIES["take_due"], now)
    return (_schedule(row), row["next_due_at"]) if row else None


async def move_on(connection: Any, name: str, next_due_at: datetime) -> None:
    """When it is due next."""
    await connection.execute(_QUERIES["move_on"], name, next_due_at)


async def next_due(connection: Any) -> datetime | None:
    """When there is something to do next."""
    found: datetime | None = await connection.fetchval(_QUERIES["next_due"])
    return found


async def begin_run(
    connection: Any,
    schedule: Schedule,
    due: datetime,
    request: ReportRequest,
    *,
    state: RunState,
    expected: list[str],
    deadline: datetime | None,
) -> bool:
    """Note that a report is due; false where that was noted before."""
    found = await connection.fetchval(
        _QUERIES["begin_run"],
        schedule.name,
        due,
        request.report_id,
        request.model_dump_json(),
        schedule.owner,
        state,
        expected,
        deadline,
    )
    return found is not None


async def waiting_run(connection: Any, now: datetime) -> Waiting | None:
    """A run to go on with, held until the end of the transaction."""
    row = await connection.fetchrow(_QUERIES["waiting_run"], now)
    if row is None:
        return None
    heard: dict[str, Outcome] = json.loads(row["heard"])
    return Waiting(
        schedule=row["schedule"],
        due_at=row["due_at"],
        request=ReportRequest.model_validate_json(row["request"]),
        owner=row["owner"],
        synchronisation=Synchronisation(frozenset(row["expected"]), heard),
    )


async def end_run(connection: Any, schedule: str, due: datetime, state: RunState, outcome: str | None) -> None:
    """The report was asked for, or refused, and why."""
    await connection.execute(_QUERIES["end_run"], schedule, due, state, outcome)


async def runs(connection: Any, schedule: str, limit: int) -> list[Run]:
    """The latest runs of a schedule."""
    return [Run(**row) for row in await connection.fetch(_QUERIES["runs"], schedule, limit)]


async def hear(connection: Any, run_id: str, source: str, state: Outcome, at: datetime) -> None:
    """A source was read."""
    await connection.execute(_QUERIES["note_source"], source, at)
    await connection.execute(_QUERIES["hear"], run_id, source, state)


async def sources_since(connection: Any, moment: datetime) -> list[str]:
    """The sources that were heard of since a moment."""
    return [row["source"] for row in await connection.fetch(_QUERIES["sources_since"], moment)]
