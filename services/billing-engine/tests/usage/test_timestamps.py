"""A moment written for COPY is the moment that PostgreSQL reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO

from billing_engine.usage.store import csv_of
from tallyport_local.testing import Connect

MOMENTS = [
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(99, 1, 2, tzinfo=UTC),
    datetime(5, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(-timedelta(hours=9, minutes=30))),
]


async def test_the_same_moment(connect: Connect) -> None:
    _, pool = await connect("billing_engine")
    rows = [(number, at, at.date()) for number, at in enumerate(MOMENTS)]
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TEMPORARY TABLE moment (n int, at timestamptz, day date) ON COMMIT DROP")
        await connection.copy_to_table("moment", source=BytesIO(csv_of(rows)), format="csv")
        assert [tuple(row) for row in await connection.fetch("SELECT * FROM moment ORDER BY n")] == rows
