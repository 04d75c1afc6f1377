"""What is published of a revision is the same bytes under the same ids, for ever."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from billing_engine.transfers import store
from billing_engine.transfers.model import Step, TransferCancelledError, TransferRefusedError
from billing_engine.transfers.publisher import TOPIC
from engine_bench import Bench
from tallyport.contracts.billing import TransferState
from tallyport.testing.waiting import until

TODAY = datetime.now(UTC).date()

Published = list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]]


async def _published(bench: Bench, day: date) -> Published:
    """Every chunk of a date that was published, in order of sequence."""
    found: list[tuple[int, Any]] = []
    async with AIOKafkaConsumer(
        bench.kafka.topic(TOPIC), bootstrap_servers=bench.kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    name, _, sequence = dict(record.headers)["ce_id"].decode().rpartition("/")
                    if name.startswith(str(day)):
                        found.append((int(sequence), (record.key, record.value, tuple(record.headers))))
    return [record for _, record in sorted(found, key=lambda one: one[0])]


async def _step(bench: Bench, day: date) -> str:
    rows = await bench.fetch("SELECT state, step FROM transfer WHERE batch_date = $1 ORDER BY revision DESC", day)
    return f"{rows[0]['state']} {rows[0]['step']}"


async def test_publishing_again_sends_the_same_bytes(bench: Bench) -> None:
    await bench.directory(
        {"kind": "organisation", "id": "again", "type": "customer", "name": "Again", "currency": "EUR"},
        {"kind": "service_instance", "id": "again-he", "customer": "again", "service": "X", "status": "Provisioned"},
    )
    await bench.catalog(
        {"services": [{"id": "X", "name": "X", "plans": [], "billing_units": [
            {"id": "x", "plan_type": "customer_plan", "unit": "instance"}]}]}
    )  # fmt: skip
    await bench.caught_up()
    assert await bench.transfer(TODAY)
    once = await _published(bench, TODAY)

    word = TransferState(batch_date=TODAY, revision=1, state="failed", reason="no room")
    await bench.send("warehouse.transfers", word.write(), key=str(TODAY), type_=TransferState.TYPE)

    async def failed() -> bool:
        return await _step(bench, TODAY) == "failed await-warehouse"

    async def again() -> bool:
        return await _step(bench, TODAY) == "running await-warehouse"

    await until(failed)
    await bench.engine.transfers.resume(TODAY, Step.PUBLISH_LINES)
    await until(again)
    twice = await _published(bench, TODAY)
    assert len(once) >= 2
    assert sorted(twice) == sorted(once + once)


async def test_a_half_frozen_revision_is_left_and_the_next_takes_its_place(bench: Bench) -> None:
    day = TODAY - timedelta(days=40)
    async with bench.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO transfer (batch_date, revision, usage_day, state, step, requested_by, requested_at, "
            "frozen_at) VALUES ($1, 1, $1, 'running', 'compute-lines', 'ann', now(), now())",
            day,
        )
    bench.engine.runner.wake()

    async def replaced() -> bool:
        return await _step(bench, day) == "running await-warehouse"

    await until(replaced)
    rows = await bench.fetch("SELECT * FROM transfer WHERE batch_date = $1 ORDER BY revision", day)
    assert [(row["revision"], row["state"], row["requested_by"]) for row in rows] == [
        (1, "failed", "ann"),
        (2, "running", "ann"),
    ]
    assert "revision 2 takes its place" in rows[0]["reason"]
    assert not any(
        dict(headers)["ce_id"].startswith(f"{day}/1/".encode()) for _, _, headers in await _published(bench, day)
    )


async def test_a_cancelled_transfer_stops_and_can_be_begun_anew(bench: Bench) -> None:
    day = TODAY - timedelta(days=41)
    # Somebody else takes the steps, or would: what is cancelled here must not be frozen there.
    async with bench.pool.acquire() as guard:
        await guard.execute("SELECT pg_advisory_lock(hashtext('tallyport.run'), $1::date - date '2000-01-01')", day)
        await bench.engine.transfers.begin(day, by="ann")
        cancelled = await bench.engine.transfers.cancel(day, by="bob")
        await guard.execute("SELECT pg_advisory_unlock_all()")
    assert (cancelled.state, cancelled.reason) == ("failed", "cancelled by bob")
    with pytest.raises(TransferRefusedError, match=f"no transfer of {day} is running"):
        await bench.engine.transfers.cancel(day, by="bob")
    async with bench.pool.acquire() as connection:
        with pytest.raises(TransferCancelledError):
            await store.mark_frozen_at(connection, day, 1, datetime.now(UTC))
    await bench.transfer(day)
    with pytest.raises(TransferRefusedError, match="published and announced"):
        await bench.engine.transfers.cancel(day, by="bob")
    async with bench.pool.acquire() as connection:
        again = await store.newest(connection, day)
    assert again is not None
    steps = {step.name: step for step in again.steps}
    assert again.revision == 2
    assert steps[Step.COMPUTE_LINES].done == steps[Step.COMPUTE_LINES].expected
    assert steps[Step.COMPUTE_LINES].rows == again.lines
