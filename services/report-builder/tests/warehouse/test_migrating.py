"""What was loaded when a partition held a date is read and proved as before."""

from __future__ import annotations

from datetime import date
from typing import Any

import asyncpg
from report_builder.app import migrations
from report_builder.warehouse import service
from tallyport.contracts.billing import LINE_COLUMNS_BEFORE_LEVELS
from tallyport.postgres.migrations import migrate
from tallyport_local.testing import ServiceDatabase

DAY, WAITING = date(2025, 3, 1), date(2025, 3, 2)
BEFORE = 3
"""The last migration of the report builder's under which a partition held a date."""

BATCH = "INSERT INTO batch (batch_date, revision, state, expected_sha256) VALUES ($1, $2, $3, $4)"
CHUNK = "INSERT INTO batch_chunk VALUES ($1, $2, 1, 'lines', 1, $3)"
LINE = f"""
INSERT INTO batch_line (batch_date, revision, sequence, position, {", ".join(LINE_COLUMNS_BEFORE_LEVELS)})
SELECT $1, $2, 1, 0, 'c', 'HE', 'user_plan', 'u', $3, NULL, 'line', NULL, NULL, NULL, NULL, NULL, 1, 1, 1, 1, 'EUR', '', '', ''
"""  # noqa: E501 - all of it stands here


async def test_what_was_loaded_by_date_stays_readable(
    *,
    report_database: ServiceDatabase,
    pool: asyncpg.Pool[asyncpg.Record],
    warehouse: Any,
    make_batch: Any,
    make_line: Any,
) -> None:
    owner = await asyncpg.connect(report_database.owner.dsn, password=report_database.owner.secret())
    await owner.execute(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO report_builder"
    )
    everything = migrations()
    await migrate(
        report_database.owner,
        [one for one in everything if one.namespace != "report-builder" or one.number <= BEFORE],
    )
    for day, revision, state in ((DAY, 1, "loaded"), (DAY, 2, "failed"), (DAY, 3, "loaded"), (WAITING, 1, "loading")):
        await owner.execute("SELECT ensure_line_partition($1)", day)
        await owner.execute(BATCH, day, revision, state, "ab" * 32 if state == "loaded" else None)
        await owner.execute(CHUNK, day, revision, "cd" * 32)
        await owner.execute(LINE, day, revision, f"{day}/{revision}")
    await owner.close()
    await migrate(report_database.owner, everything)
    await pool.expire_connections()

    read = await pool.fetch("SELECT object_id, tableoid::regclass::text AS place FROM batch_line ORDER BY object_id")
    assert [tuple(row) for row in read] == [(f"{DAY}/{n}", "batch_line_2025_03_01") for n in (1, 3)]
    assert await pool.fetchval("SELECT count(*) FROM batch_chunk WHERE revision = 2") == 0
    found = await service.batches(pool, WAITING, WAITING)  # type: ignore[arg-type]  # a pool fetches like a connection
    assert [(batch.revision, batch.state) for batch in found] == [(1, "loading")]
    # The next revision of a date that is in one table, and a date that was half here.
    again = make_batch(DAY, 4)
    again.chunk("lines", [make_line()])
    await warehouse.keep(again)
    other = make_batch(WAITING, 2)
    other.chunk("lines", [make_line(), make_line()])
    await warehouse.keep(other)
    counted = await pool.fetch("SELECT batch_date, revision, count(*) FROM batch_line GROUP BY 1, 2 ORDER BY 1, 2")
    assert [tuple(row) for row in counted] == [(DAY, 1, 1), (DAY, 3, 1), (DAY, 4, 1), (WAITING, 2, 2)]
