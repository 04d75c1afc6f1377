"""The engine is killed while it computes and publishes a batch: one batch, whole, from one snapshot."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg
from tallyport.testing.waiting import until
from yard import TODAY, YESTERDAY, Yard, expected_total, kill_at_random, make_samples

COUNTERS = [f"Amount{i}" for i in range(5)]
USERS = 4000
KILLS = 3
HELD_CHUNK = 8
RANGES_PUBLISHED = 2


@asynccontextmanager
async def _held_half_way(yard: Yard) -> AsyncIterator[None]:
    """While the block runs, computing stops where it first reads the applications: after the first chunks."""
    connection = await asyncpg.connect(
        yard.stack.admin_dsn.rpartition("/")[0] + "/billing_engine", password=yard.stack.admin_password
    )
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE application IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def _held_between_ranges(yard: Yard, revision: int) -> AsyncIterator[None]:
    """While the block runs, the revision's freezing stops after some ranges: the place of a later chunk is taken."""
    connection = await asyncpg.connect(
        yard.stack.admin_dsn.rpartition("/")[0] + "/billing_engine", password=yard.stack.admin_password
    )
    try:
        await connection.execute("BEGIN")  # and never a commit: closing the connection takes it back
        await connection.execute(
            "INSERT INTO batch_chunk VALUES ($1, $2, $3, 'lines', '', 1, '', '')", TODAY, revision, HELD_CHUNK
        )
        yield
    finally:
        await connection.close()


async def _ranges_arrived(yard: Yard, revision: int) -> None:
    """Wait until ranges of the revision's lines are published, and the warehouse has them."""

    async def several() -> bool:
        [row] = await yard.fetch(
            "report_builder",
            "SELECT count(*) FROM batch_chunk WHERE batch_date = $1 AND revision = $2 AND kind = 'lines'",
            TODAY,
            revision,
        )
        return bool(row[0] >= RANGES_PUBLISHED)

    await until(several, seconds=60, what=f"ranges of revision {revision} to arrive in the warehouse")


async def _half_frozen(yard: Yard, after: int) -> int:
    """Wait until a revision later than ``after`` has frozen some of its chunks; its number."""
    found: list[int] = []

    async def some() -> bool:
        rows = await yard.fetch(
            "billing_engine",
            "SELECT revision FROM transfer WHERE batch_date = $1 AND revision > $2 AND frozen_at IS NOT NULL "
            "AND sha256 IS NULL AND state = 'running'",
            TODAY,
            after,
        )
        found.extend(row["revision"] for row in rows)
        return bool(found)

    await until(some, seconds=60, what=f"a revision after {after} to be half frozen")
    return found[0]


async def _kill_half_way(yard: Yard, after: int) -> int:
    async with _held_half_way(yard):
        await yard.stack.wait_ready("billing-engine")
        revision = await _half_frozen(yard, after)
        await yard.stack.kill("billing-engine")
    return revision


async def _kill_between_ranges(yard: Yard, after: int) -> list[int]:
    """Kill where no line is frozen yet, and the next revision where some ranges are, published and loaded."""
    async with AsyncExitStack() as held:
        async with _held_half_way(yard):
            await yard.stack.wait_ready("billing-engine")
            first = await _half_frozen(yard, after)
            await held.enter_async_context(_held_between_ranges(yard, first + 1))
            await yard.stack.kill("billing-engine")
        await yard.stack.wait_ready("billing-engine")
        second = await _half_frozen(yard, first)
        assert second == first + 1
        await _ranges_arrived(yard, second)
        await yard.stack.kill("billing-engine")
    return [first, second]


async def test_killed_while_computing_and_publishing(yard: Yard) -> None:
    objects = await yard.provider("halved", USERS, COUNTERS)
    samples = make_samples(objects, COUNTERS, days=1, seed=9)
    await yard.produce(samples, seed=2, client=yard.client, source="/halved")
    await yard.caught_up("billing-engine")
    first = await yard.transfer()
    undisturbed = await yard.billed("halved")

    url = yard.stack.url("billing-engine")
    left: list[int] = []
    async with _held_half_way(yard):
        await yard.call("POST", f"{url}/v1/transfers", json={})
        left.append(await _half_frozen(yard, first["revision"]))
        await yard.stack.kill("billing-engine")
    while len(left) < KILLS:
        left.append(await _kill_half_way(yard, left[-1]))
        seen = await _batches(yard)
        assert [one["revision"] for one in seen if one["current"]] == [first["revision"]]
    left += await _kill_between_ranges(yard, left[-1])
    await kill_at_random(yard, "billing-engine", KILLS, random.Random(8))  # noqa: S311
    done = await yard.green(str(TODAY))

    assert done["revision"] > left[-1]
    assert done["totals"] == first["totals"]
    lines = await yard.billed("halved")
    assert lines == undisturbed
    assert len(lines) == USERS * len(COUNTERS)
    assert sum((Decimal(line["total"]) for line in lines), Decimal(0)) == expected_total(samples, YESTERDAY)
    states = {one["revision"]: (one["state"], one["current"]) for one in await _batches(yard)}
    assert states[done["revision"]] == ("loaded", True)
    assert all(states.get(revision, ("failed", False)) == ("failed", False) for revision in left)
    kept = await yard.fetch("report_builder", "SELECT DISTINCT revision FROM batch_chunk WHERE batch_date = $1", TODAY)
    assert not {row["revision"] for row in kept} & set(left)
    for service in ("billing-engine", "report-builder"):
        proof = await yard.call("POST", f"{yard.stack.url(service)}/v1/batches/{TODAY}/{done['revision']}/verify")
        assert proof["ok"], proof


async def _batches(yard: Yard) -> list[dict[str, Any]]:
    url = f"{yard.stack.url('report-builder')}/v1/batches"
    found: list[dict[str, Any]] = await yard.call("GET", url, params={"from": str(TODAY), "to": str(TODAY)})
    return found
