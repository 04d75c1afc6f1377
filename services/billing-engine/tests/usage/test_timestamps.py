"""A time written for COPY is the time that PostgreSQL reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from billing_engine.usage.store import timestamp_text
from tallyport_local.testing import Connect


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        datetime(99, 1, 2, tzinfo=UTC),
        datetime(5, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(-timedelta(hours=9, minutes=30))),
    ],
)
async def test_the_same_time(connect: Connect, at: datetime) -> None:
    _, pool = await connect("billing_engine")
    assert await pool.fetchval("SELECT $1::text::timestamptz", timestamp_text(at)) == at
