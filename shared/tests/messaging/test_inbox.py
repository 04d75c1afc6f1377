"""Each event once: the same id with the same content is a duplicate, with another content a conflict."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tallyport.clock import FixedClock
from tallyport.contracts.catalog import PlanChanged
from tallyport.messaging.dispatch import EventDispatcher
from tallyport.messaging.envelope import Envelope
from tallyport.messaging.inbox import SourceNumbers, accept_keys
from tallyport.messaging.record import Event, Record
from tallyport.messaging.unit_of_work import UnitOfWork, unit_of_work

if TYPE_CHECKING:
    import asyncpg

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]

UUID = "0199a7b0-0000-7000-8000-000000000001"
_SOURCES, _OFFSETS = count(1_000_000), count()


def digest(content: str) -> bytes:
    return hashlib.sha256(content.encode()).digest()


def expected(polls: list[list[tuple[int, str, str]]]) -> list[list[str]]:
    """The rule, said as plainly as can be."""
    first: dict[tuple[int, str], str] = {}
    found = []
    for poll in polls:
        verdicts = []
        for source, event_id, content in poll:
            if (source, event_id) not in first:
                first[source, event_id] = content
                verdicts.append("new")
            else:
                verdicts.append("duplicate" if first[source, event_id] == content else "conflict")
        found.append(verdicts)
    return found


events = st.tuples(st.integers(0, 1), st.sampled_from(["a", "b", UUID, UUID.upper()]), st.sampled_from(["x", "y"]))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(events, max_size=6), max_size=4))
async def test_what_the_inbox_says_is_the_rule(pool: Pool, polls: list[list[tuple[int, str, str]]]) -> None:
    numbers = [next(_SOURCES), next(_SOURCES)]
    found = []
    for poll in polls:
        async with pool.acquire() as connection, connection.transaction():
            entries = [(numbers[source], event_id, digest(content)) for source, event_id, content in poll]
            found.append(await accept_keys(connection, entries))
    assert found == expected(polls)


async def test_a_poll_that_is_rolled_back_was_never_seen(pool: Pool) -> None:
    entry = (next(_SOURCES), "a", digest("x"))
    async with pool.acquire() as connection:
        poll = connection.transaction()
        await poll.start()
        assert await accept_keys(connection, [entry]) == ["new"]
        await poll.rollback()
        async with connection.transaction():
            assert await accept_keys(connection, [entry]) == ["new"]


# ---- the same rule as a subscription applies it


def record(event_id: str, price: str, source: str) -> Record:
    data = PlanChanged(
        id="GOLD", service="HE", type="user_plan", name="Gold", currency="EUR", properties={"sales_price": price}
    )
    envelope = Envelope(event_id, source, PlanChanged.TYPE, datetime(2026, 11, 22, tzinfo=UTC))
    return Record("catalog.changes", 0, next(_OFFSETS), b"plan:GOLD", data.write(), envelope.headers(), 0)


@pytest.mark.parametrize("together", [True, False], ids=["in one poll", "in polls of their own"])
async def test_a_subscription_applies_the_first_and_sets_the_conflict_aside(pool: Pool, together: bool) -> None:  # noqa: FBT001
    applied: list[str] = []

    async def handle(_uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        applied.extend(event.data.properties["sales_price"] for event in events)

    dispatch = EventDispatcher(handle, {PlanChanged.TYPE: PlanChanged.read}, SourceNumbers(pool))
    source = f"/conflict/{together}"
    records = [record("1", "4.50", source), record("1", "4.50", source), record("1", "9.99", source),
               record("2", "4.75", source), record("1", "4.50", f"{source}/other")]  # fmt: skip
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    units: list[UnitOfWork] = []
    for poll in [records] if together else [[one] for one in records]:
        async with unit_of_work(pool, service="test", consumer="test", clock=clock) as uow:
            await dispatch.apply(uow, dispatch.read(poll, uow.reject))
        units.append(uow)
    assert applied == ["4.50", "4.75", "4.50"]
    assert [sum(getattr(uow, name) for uow in units) for name in ("applied_events", "duplicate_events")] == [3, 1]
    assert sum(uow.conflicting_events for uow in units) == 1
    ((aside, reason),) = [rejected for uow in units for rejected in uow.rejected]
    assert aside == records[2]
    assert reason == f"conflict: id '1' of {source!r} was taken in with another content"
