"""The report builder is killed while it loads and while it renders: one batch, one artifact."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from yard import TODAY, YESTERDAY, Yard, expected_total, kill_at_random, make_samples

COUNTERS = [f"Size{i}" for i in range(5)]
USERS = 4000


@pytest.fixture(scope="module")
async def billed(yard: Yard) -> Decimal:
    """A provider with 20,000 lines in the next batch; their sum."""
    objects = await yard.provider("large", USERS, COUNTERS)
    samples = make_samples(objects, COUNTERS, days=1, seed=3)
    await yard.produce(samples, seed=1, client=yard.client, source="/large")
    await yard.caught_up("billing-engine")
    return expected_total(samples, YESTERDAY)


async def test_killed_while_loading(yard: Yard, billed: Decimal) -> None:
    await yard.transfer()
    undisturbed = await yard.billed("large")

    url = f"{yard.stack.url('billing-engine')}/v1/transfers"
    begun = await yard.call("POST", url, json={})
    killing = asyncio.create_task(kill_at_random(yard, "report-builder", 4, random.Random(5)))  # noqa: S311
    done = await yard.green(begun["batch_date"])
    await killing
    lines = await yard.billed("large")
    assert len(lines) == USERS * len(COUNTERS)
    assert lines == undisturbed
    assert sum((Decimal(line["total"]) for line in lines), Decimal(0)) == billed
    proof = await yard.call("POST", f"{yard.stack.url('report-builder')}/v1/batches/{TODAY}/{done['revision']}/verify")
    assert proof["ok"], proof


@pytest.mark.usefixtures("billed")
async def test_killed_while_rendering(yard: Yard) -> None:
    await yard.transfer()
    undisturbed = await yard.report("xlsx")
    url = f"{yard.stack.url('report-builder')}/v1/reports"
    wanted = {"kind": "customer-detail", "format": "xlsx", "from_date": str(TODAY), "to_date": str(TODAY)}
    asked: list[dict[str, Any]] = [await yard.call("POST", url, json=wanted) for _ in range(3)]
    await kill_at_random(yard, "report-builder", 4, random.Random(6))  # noqa: S311
    for one in asked:
        report = await yard.ready(one["report_id"])
        assert [part["sha256"] for part in report["parts"]] == [part["sha256"] for part in undisturbed["parts"]]
        file = Path(unquote(urlsplit(report["parts"][0]["uri"]).path))
        kept = [entry.name for entry in file.parent.iterdir() if entry.suffix == ".xlsx"]
        assert kept == [file.name]
    rows = await yard.fetch("report_builder", "SELECT count(*) FROM dead_letter")
    assert rows[0][0] == 0
