"""What the collector has read reaches the engine once, whatever is killed meanwhile."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import httpx
from tallyport.testing.waiting import until
from yard import PATIENCE_SECONDS, YESTERDAY, Sample, Yard, expected_total, make_samples

COLLECTOR = "usage-collector"
COUNTERS = [f"Counter{i}" for i in range(5)]
FILES = 20
SOURCE = f"tallyport/{COLLECTOR}/dropped-files"


def _drop(inbox: Path, name: str, samples: list[Sample]) -> None:
    """Write aside, rename in."""
    hidden = inbox / f".{name}"
    with hidden.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("object_id", "counter", "day", "value"))
        rows.writerows((one.object_id, one.counter, one.day, one.value) for one in samples)
    hidden.rename(inbox / name)


async def _spooled(yard: Yard) -> int:
    """How many messages wait; -1 while the collector does not answer."""
    try:
        status = await yard.call("GET", f"{yard.stack.url(COLLECTOR)}/v1/status")
    except (httpx.HTTPError, AssertionError):
        return -1
    return int(status["spool"]["records"])


async def _answering(yard: Yard) -> None:
    async def answers() -> bool:
        return await _spooled(yard) >= 0

    await until(answers, seconds=PATIENCE_SECONDS, what="the collector to answer")


def _taken(inbox: Path, name: str) -> int:
    folder = inbox / "taken"
    return sum(one.name.startswith(f"{name}-") for one in folder.iterdir()) if folder.exists() else 0


async def test_a_collector_that_is_killed_with_a_full_spool_and_no_broker(yard: Yard) -> None:
    name = "spooled"
    objects = await yard.provider(name, 1000, COUNTERS)
    samples = make_samples(objects, COUNTERS, days=8, seed=3)
    inbox = yard.stack.folder.collector / "inbox"
    await yard.stack.stop("kafka")
    for number in range(FILES):
        _drop(inbox, f"{name}-{number:02}.csv", samples[number::FILES])

    # Killed twice while files are being taken, once when everything is in the spool, once when the broker is back.

    async def some_taken() -> bool:
        return _taken(inbox, name) > 0

    await until(some_taken, seconds=PATIENCE_SECONDS, what="the first file to be taken")
    await yard.stack.kill(COLLECTOR)
    await _answering(yard)
    await yard.stack.kill(COLLECTOR)

    async def all_taken() -> bool:
        return _taken(inbox, name) == FILES and await _spooled(yard) > 0

    await until(all_taken, seconds=PATIENCE_SECONDS, what="every file to be taken")
    waiting = await _spooled(yard)
    assert waiting >= len(samples) / 1000
    await yard.stack.kill(COLLECTOR)
    await _answering(yard)
    assert await _spooled(yard) >= waiting

    await yard.stack.start("kafka")
    await yard.stack.wait_ready("kafka")
    await yard.stack.kill(COLLECTOR)
    await yard.stack.wait_ready()
    await yard.caught_up(COLLECTOR)
    await yard.caught_up("billing-engine")
    assert await yard.usage(name) == sorted((one.object_id, one.counter, one.day, one.value) for one in samples)
    assert await yard.dead_letters("usage.samples", SOURCE) == []
    await yard.transfer()
    lines = await yard.billed(name)
    assert len(lines) == sum(one.day == YESTERDAY for one in samples)
    assert sum((Decimal(line["total"]) for line in lines), Decimal(0)) == expected_total(samples, YESTERDAY)
