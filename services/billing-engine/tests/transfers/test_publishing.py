"""What is published of a revision is the same bytes under the same ids, for ever."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer
from billing_engine.transfers.model import Step
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
