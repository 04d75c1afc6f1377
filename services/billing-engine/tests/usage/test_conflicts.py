"""The same event with another content is never billed: the first word counts, the other is set aside."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count

import asyncpg
import pytest
import pytest_asyncio
from billing_engine.usage.service import UsageService
from tallyport.clock import FixedClock
from tallyport.contracts.usage import UsageChunk
from tallyport.messaging.envelope import Envelope
from tallyport.messaging.inbox import SourceNumbers
from tallyport.messaging.record import Record
from tallyport.messaging.unit_of_work import UnitOfWork, unit_of_work
from tallyport_local.testing import Connect

CLOCK = FixedClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
_OFFSETS = count()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(connect: Connect) -> asyncpg.Pool[asyncpg.Record]:
    return (await connect("billing_engine"))[1]


def record(event_id: str, object_id: str, value: str, source: str) -> Record:
    body = {"counter": "MB", "day": "2026-11-21", "measured_at": "2026-11-21T12:00:00Z", "object_ids": [object_id],
            "values": [value]}  # fmt: skip
    headers = Envelope(event_id, source, UsageChunk.TYPE, CLOCK.now()).headers()
    return Record("usage.samples", 0, next(_OFFSETS), b"k", json.dumps(body).encode(), headers, 0)


@pytest.mark.parametrize("together", [True, False], ids=["in one poll", "in polls of their own"])
async def test_a_conflict_is_set_aside_and_its_neighbours_are_applied(
    pool: asyncpg.Pool[asyncpg.Record],
    together: bool,  # noqa: FBT001 - a parameter
) -> None:
    service = UsageService(pool, SourceNumbers(pool))
    name = f"conflict-{together}".lower()
    records = [
        record("1", f"{name}-a", "10", f"/{name}"),
        record("1", f"{name}-a", "10", f"/{name}"),
        record("1", f"{name}-a", "99", f"/{name}"),
        record("2", f"{name}-b", "20", f"/{name}"),
        record("1", f"{name}-c", "30", f"/{name}/other"),
    ]
    units: list[UnitOfWork] = []
    for poll in [records] if together else [[one] for one in records]:
        async with unit_of_work(pool, service="billing-engine", consumer="test", clock=CLOCK) as uow:
            await service.apply(uow, service.read(poll, uow.reject))
        units.append(uow)
    async with pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT object_id, value::text FROM parked_sample WHERE starts_with(object_id, $1) ORDER BY 1", f"{name}-"
        )
    assert [tuple(row) for row in rows] == [(f"{name}-a", "10"), (f"{name}-b", "20"), (f"{name}-c", "30")]
    assert sum(uow.applied_events for uow in units) == 3
    assert sum(uow.duplicate_events for uow in units) == 1
    assert sum(uow.conflicting_events for uow in units) == 1
    ((aside, reason),) = [rejected for uow in units for rejected in uow.rejected]
    assert aside == records[2]
    assert reason == f"conflict: id '1' of '/{name}' was taken in with another content"
