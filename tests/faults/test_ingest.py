"""Usage goes in exactly once, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

import pytest
from yard import YESTERDAY, Sample, Yard, expected_total, make_samples, second_producer

COUNTERS = [f"Counter{i}" for i in range(5)]
KILLS = 10


async def _applied_once(yard: Yard, name: str, samples: list[Sample]) -> None:
    """Every sample is there once, with its value; nothing else is; nothing was set aside."""
    there = await yard.usage(name)
    assert there == sorted((one.object_id, one.counter, one.day, one.value) for one in samples)
    assert await yard.dead_letters("usage.samples", name) == []


async def _billed_once(yard: Yard, name: str, samples: list[Sample]) -> None:
    """The batch has one line a sample of the usage day, and its sum is the sum of the samples."""
    await yard.transfer()
    lines = await yard.billed(name)
    assert len(lines) == sum(one.day == YESTERDAY for one in samples)
    assert sum((Decimal(line["total"]) for line in lines), Decimal(0)) == expected_total(samples, YESTERDAY)


async def test_two_hundred_thousand_samples_three_times_over_an_engine_that_is_killed(yard: Yard) -> None:
    name = "killed"
    objects = await yard.provider(name, 4000, COUNTERS)
    samples = make_samples(objects, COUNTERS, days=10, seed=1)
    assert len(samples) == 200_000
    chance = random.Random(7)  # noqa: S311 - moments, not secrets

    async def produce_all() -> None:
        half = len(samples) // 2
        async with second_producer(yard) as other:
            await yard.produce(samples, seed=1, client=yard.client, source=f"/{name}")
            await asyncio.gather(
                yard.produce(samples[:half], seed=2, client=yard.client, source=f"/{name}"),
                yard.produce(samples[half:], seed=3, client=other, source=f"/{name}"),
            )
            await yard.produce(samples, seed=4, client=other, source=f"/{name}")

    producing = asyncio.create_task(produce_all())
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0, 1.5))  # a random moment is what this is about
        await yard.stack.kill("billing-engine")
        await yard.stack.wait_ready("billing-engine")
    await producing
    await yard.caught_up("billing-engine")
    await _applied_once(yard, name, samples)
    await _billed_once(yard, name, samples)


@pytest.mark.parametrize("part", ["postgres", "kafka"])
async def test_a_server_that_stops_under_load_and_comes_back(yard: Yard, part: str) -> None:
    name = f"no-{part}"
    objects = await yard.provider(name, 1000, COUNTERS)
    samples = make_samples(objects, COUNTERS, days=8, seed=2)
    producing = asyncio.create_task(yard.produce(samples, seed=5, client=yard.client, source=f"/{name}"))
    for _ in range(2):
        await yard.stack.stop(part)
        await yard.stack.start(part)
        await yard.stack.wait_ready(part)
    await producing
    await yard.stack.wait_ready()
    await yard.caught_up("billing-engine", "report-builder", "notifier")
    await _applied_once(yard, name, samples)
    await _billed_once(yard, name, samples)
