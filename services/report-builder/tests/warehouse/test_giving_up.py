"""What is left of revisions that never became whole: nothing but the fact."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import count
from typing import Any

import asyncpg
import pytest
from report_builder.warehouse import service
from tallyport.contracts.billing import TransferState
from tallyport_local.testing import ServiceDatabase

_DAYS = count()
KEPT = ("batch_chunk", "batch_organisation", "batch_allocation", "batch_line")


@pytest.fixture
def day() -> date:
    """A date no other test uses."""
    return date(2031, 1, 1) + timedelta(days=next(_DAYS))


def half(make_batch: Any, make_line: Any, day: date, revision: int = 1) -> Any:
    made = make_batch(day, revision)
    made.chunk("organisations", [["c-1", "root", "customer", "Name", None, None, "de", "EUR"]])
    made.chunk("allocations", [["c-1", "HE", "HE-GOLD", "Gold", "10", "9"]])
    made.chunk("lines", [make_line()])
    return made


def failed(day: date, revision: int) -> TransferState:
    return TransferState(batch_date=day, revision=revision, state="failed", reason="interrupted")


async def left(pool: asyncpg.Pool[asyncpg.Record], day: date, revision: int) -> dict[str, int]:
    """Rows of a revision, table by table; its table of lines counts as one row, if it is there."""
    found = {}
    for table in KEPT:
        rows = f"SELECT count(*) FROM {table} WHERE batch_date = $1 AND revision = $2"  # noqa: S608 - one of ours
        found[table] = await pool.fetchval(rows, day, revision)
    own = f"batch_line_{day:%Y_%m_%d}_r{revision}"
    found["table"] = await pool.fetchval("SELECT count(*) FROM pg_tables WHERE tablename = $1", own)
    return found


async def told(pool: asyncpg.Pool[asyncpg.Record], day: date) -> list[tuple[int, str, str | None]]:
    found = await service.batches(pool, day, day)  # type: ignore[arg-type]  # a pool fetches like a connection
    return [(batch.revision, batch.state, batch.reason) for batch in found]


NOTHING = dict.fromkeys((*KEPT, "table"), 0)
NOT_READ_YET = {**dict.fromkeys((*KEPT, "table"), 1), "batch_line": 0}
WHOLE = dict.fromkeys((*KEPT, "table"), 1) | {"batch_chunk": 3}


async def test_a_revision_that_is_given_up_is_dropped(
    warehouse: Any, make_batch: Any, make_line: Any, day: date
) -> None:
    made = half(make_batch, make_line, day)
    await warehouse.load(*made.records)
    assert await left(warehouse.pool, day, 1) == NOT_READ_YET | {"batch_chunk": 3}
    await warehouse.fail(failed(day, 1))
    assert await left(warehouse.pool, day, 1) == NOTHING
    assert await told(warehouse.pool, day) == [(1, "failed", "interrupted")]


async def test_a_revision_that_was_given_up_may_come_again(
    warehouse: Any, make_batch: Any, make_line: Any, day: date
) -> None:
    made = half(make_batch, make_line, day)
    await warehouse.load(*made.records[:2])
    await warehouse.fail(failed(day, 1))
    await warehouse.keep(made)
    assert await left(warehouse.pool, day, 1) == WHOLE


async def test_a_loaded_revision_is_not_dropped(warehouse: Any, make_batch: Any, make_line: Any, day: date) -> None:
    made = half(make_batch, make_line, day)
    await warehouse.keep(made)
    await warehouse.fail(failed(day, 1))
    assert await left(warehouse.pool, day, 1) == WHOLE
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="did not fail"):
        await warehouse.pool.execute("SELECT drop_failed_batch($1, 1)", day)
    assert await left(warehouse.pool, day, 1) == WHOLE


async def test_a_later_revision_that_is_loaded_ends_what_never_became_whole(
    warehouse: Any, make_batch: Any, make_line: Any, day: date
) -> None:
    unannounced, refused, awaited = (half(make_batch, make_line, day, revision) for revision in (1, 2, 3))
    await warehouse.load(*unannounced.records)
    await warehouse.load(*refused.records)
    assert (await warehouse.publish(refused.published(sha256="ab" * 32))).state == "failed"
    assert (await left(warehouse.pool, day, 2))["table"] == 1
    # Announced, but a part of it is still on its way.
    await warehouse.publish(awaited.published())
    await warehouse.load(*awaited.records[:2])

    await warehouse.keep(half(make_batch, make_line, day, 4))
    assert await left(warehouse.pool, day, 1) == NOTHING
    assert await left(warehouse.pool, day, 2) == NOTHING
    states = await told(warehouse.pool, day)
    assert states[0] == (1, "failed", "revision 4 was loaded before it was whole")
    assert [state for _, state, _ in states] == ["failed", "failed", "loading", "loaded"]
    await warehouse.load(*awaited.records)
    assert await left(warehouse.pool, day, 3) == WHOLE
    assert await left(warehouse.pool, day, 4) == WHOLE


async def test_chunks_of_what_was_passed_over_are_not_kept(
    warehouse: Any, make_batch: Any, make_line: Any, day: date
) -> None:
    late = half(make_batch, make_line, day)
    other = half(make_batch, make_line, day + timedelta(days=1000))
    await warehouse.fail(failed(day, 1))
    await warehouse.keep(half(make_batch, make_line, day, 2))
    uow = await warehouse.load(*late.records, *other.records)
    assert (uow.applied_events, uow.rejected) == (3, [])
    assert await left(warehouse.pool, day, 1) == NOTHING
    assert await left(warehouse.pool, other.day, 1) == NOT_READ_YET | {"batch_chunk": 3}


async def test_lines_are_added_to_what_is_being_loaded_and_to_nothing_else(
    warehouse: Any, make_batch: Any, make_line: Any, day: date, report_database: ServiceDatabase
) -> None:
    await warehouse.keep(half(make_batch, make_line, day))
    connection = await asyncpg.connect(report_database.runtime.dsn, password=report_database.runtime.secret())
    try:
        for table in ("batch_line", f"batch_line_{day:%Y_%m_%d}_r1"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                await connection.execute(f"INSERT INTO {table} (position) VALUES (1)")  # noqa: S608
        for revision in (1, 2):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"takes no lines|permission denied"):
                await connection.execute("SELECT open_line_table($1, $2)", day + timedelta(days=revision), revision)
        await warehouse.load(*half(make_batch, make_line, day, 2).records)
        table = f"batch_line_{day:%Y_%m_%d}_r2"
        for change in ("UPDATE {} SET total = 0", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(change.format(table))
    finally:
        await connection.close()
