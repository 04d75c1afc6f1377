"""The whole service as a process: chunks in over Kafka, a report out, killed on the way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer
from builder_process import DAY, TOKEN, publish, running
from tallyport.contracts.billing import TransferState
from tallyport.contracts.reports import ReportReady
from tallyport.settings import KafkaSettings

LINES = 60_000
WAIT_SECONDS = 90


async def until(what: Callable[[], Any]) -> Any:
    """Wait until ``what`` answers with something true."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                if found := await what():
                    return found
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)


async def heard(kafka: KafkaSettings, topic: str) -> list[bytes]:
    """Everything on a topic now."""
    async with AIOKafkaConsumer(
        kafka.topic(topic), bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        values = []
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                values += [
                    record.value for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, [])
                ]
        return values


async def test_a_batch_and_a_report_survive_kills(
    kafka: KafkaSettings, environment: dict[str, str], make_batch: Any, make_line: Any, pool: Any
) -> None:
    made = make_batch(DAY)
    made.chunk("organisations", [["c-1", None, "customer", "Name", None, None, "en", "EUR"]])
    for start in range(0, LINES, 500):
        made.chunk("lines", [make_line(object_id=f"o-{number:06}") for number in range(start, start + 500)])
    await publish(kafka, made)

    # Killed again and again while it loads.
    for share in (1, 60):
        async with running(environment) as process:
            await until(lambda share=share: pool.fetchval("SELECT count(*) >= $1 FROM batch_chunk", share))
            process.kill()
            await process.wait()

    headers = {"Authorization": f"Bearer {TOKEN}"}
    base = f"http://127.0.0.1:{environment['TALLYPORT_HTTP__PORT']}"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as client:

        async def current() -> Any:
            batches = (await client.get("/v1/batches", params={"from": str(DAY), "to": str(DAY)})).json()
            return [batch for batch in batches if batch["state"] == "loaded"]

        async with running(environment) as process:
            [batch] = await until(current)
            assert (batch["sha256"], batch["lines"]) == (made.sha256, LINES)
            asked = {"report_id": "r-1", "format": "xlsx", "from_date": str(DAY), "to_date": str(DAY)}
            assert (await client.post("/v1/reports", json=asked)).status_code == 202
            await until(lambda: pool.fetchval("SELECT state <> 'requested' FROM report WHERE report_id = 'r-1'"))
            process.kill()
            await process.wait()

        async def ready() -> Any:
            report = (await client.get("/v1/reports/r-1")).json()
            return report if report["state"] in ("ready", "failed") else None

        async with running(environment):
            report = await until(ready)
            assert (report["state"], report["rows_done"]) == ("ready", LINES)
            artifact = (await client.get("/v1/reports/r-1/parts/1")).content
            assert hashlib.sha256(artifact).hexdigest() == report["parts"][0]["sha256"]
            assert (await client.get("/v1/reports/r-1", headers={"Authorization": "Bearer x"})).status_code == 401
            proof = (await client.post(f"/v1/batches/{DAY}/1/verify")).json()
            assert proof == {
                "ok": True, "sha256": made.sha256, "recomputed": made.sha256, "first_difference": None,
            }  # fmt: skip
            await until(lambda: pool.fetchval("SELECT count(*) = 0 FROM outbox"))

    assert await pool.fetchval("SELECT count(*) FROM batch_line") == LINES
    answers = [TransferState.read(value) for value in await heard(kafka, "warehouse.transfers")]
    assert [answer.state for answer in answers] == ["published", "loaded"]
    [announced] = await heard(kafka, "reports.ready")
    assert ReportReady.read(announced).parts[0].sha256 == report["parts"][0]["sha256"]
    assert await heard(kafka, "billing.quantities.dead-letters") == []
