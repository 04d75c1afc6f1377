"""The table of downloads; rows are only added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tallyport.postgres.queries import load_queries

from report_builder.downloads.model import How

_QUERIES: Final = load_queries("report_builder.downloads")


@dataclass(frozen=True, slots=True)
class Download:
    """Who fetched which part, when and how."""

    number: int
    at: datetime
    by: str
    how: How


async def note(connection: Any, report_id: str, number: int, *, at: datetime, by: str, how: How) -> None:
    """Somebody fetched a part, or was given a way to."""
    await connection.execute(_QUERIES["note_download"], report_id, number, at, by, how)


async def downloads(connection: Any, report_id: str, limit: int) -> list[Download]:
    """Who fetched a report, newest first."""
    return [Download(**row) for row in await connection.fetch(_QUERIES["downloads"], report_id, limit)]
