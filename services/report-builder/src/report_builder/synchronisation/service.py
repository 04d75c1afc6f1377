"""Keeping what the collectors say of inventories, for the report about a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tallyport.contracts.collection import CollectionRun
from tallyport.messaging.record import Event
from tallyport.messaging.unit_of_work import UnitOfWork

from report_builder.synchronisation import store


async def on_runs(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
    """``collection.runs``: keep those of inventories."""
    for event in events:
        run: CollectionRun = event.data
        if run.kind == "inventory":
            await store.note_run(uow.connection, run)


async def terms(connection: Any, run_id: str | None, to_date: date) -> dict[str, Any] | None:
    """A run, or the last one that was finished by the end of a day (UTC), as plain JSON; None when there is none."""
    end = datetime.combine(to_date + timedelta(days=1), time.min, UTC)
    found = await store.run(connection, run_id, end)
    if not found:
        return None
    return {"run": found[0]["run_id"], "sources": [_plain(one) for one in found]}


async def runs(connection: Any, limit: int) -> list[dict[str, Any]]:
    """The latest runs, newest first."""
    return await store.runs(connection, limit)


def _plain(source: dict[str, Any]) -> dict[str, Any]:
    return {name: _moment(value) if isinstance(value, datetime) else value for name, value in source.items()}


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
