"""The spool outlives a broker that is away, and leaves in order."""

from __future__ import annotations

from pathlib import Path

from collector_bench import HEADER, NOWHERE, Bench, event_id, read_all
from tallyport.clock import SystemClock
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until
from usage_collector.spool.store import Message

FILE = HEADER + "".join(f"object-{number},C,2026-11-21,{number}\n" for number in range(2500))


async def test_what_was_read_without_a_broker_is_sent_when_there_is_one(kafka: KafkaSettings, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "collector", kafka=NOWHERE, every_seconds=1, clock=SystemClock())
    bench.drop("one.csv", FILE)
    async with bench.service.running():

        async def taken() -> bool:
            return bench.names("taken") == ["one.csv"] and len(bench.spooled("collection.runs")) == 1

        await until(taken, what="the file to be taken")
    spooled = [event_id(one) for one in bench.spooled()]
    assert len(spooled) == 3

    bench.restart(kafka)
    async with bench.service.running():

        async def empty() -> bool:
            return (await bench.service.measure()).records == 0

        await until(empty, what="the spool to be empty")
    records = await read_all(kafka, "usage.samples")
    assert sorted(record.key.decode() for record in records) == sorted(spooled)
    assert bench.service.spool.used_bytes() == 0
    bench.database.close()


async def test_messages_of_a_key_leave_in_order(kafka: KafkaSettings, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "collector", kafka=kafka, every_seconds=3600, clock=SystemClock())
    wanted = [str(number).encode() for number in range(500)]
    with bench.database.write() as tx:
        for value in wanted:
            message = Message("collection.runs", b"one key", value, (("ce_id", value),))
            bench.service.spool.put(tx, message, bench.clock.now())
    async with bench.service.running():

        async def empty() -> bool:
            return (await bench.service.measure()).records == 0

        await until(empty, what="the spool to be empty")
    records = [one for one in await read_all(kafka, "collection.runs") if one.key == b"one key"]
    assert [one.value for one in records] == wanted
    assert [dict(one.headers)["ce_id"] for one in records] == wanted
    bench.database.close()
