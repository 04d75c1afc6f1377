"""When a source is read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from collector_bench import HEADER, NOW, Bench
from tallyport.clock import FixedClock
from usage_collector.runs.model import Schedule

FILE = HEADER + "a,C,2026-11-21,1\n"


def test_a_run_is_due_every_so_many_seconds_from_the_last_start() -> None:
    schedule = Schedule(60)
    assert schedule.seconds_left(NOW) == 0
    schedule.last = NOW
    assert schedule.seconds_left(NOW + timedelta(seconds=10)) == 50
    assert schedule.seconds_left(NOW + timedelta(days=3)) == 0


def test_a_clock_that_was_set_back_does_not_stop_the_readings() -> None:
    assert Schedule(60, last=NOW).seconds_left(NOW - timedelta(days=1)) == 0


async def test_a_worker_reads_when_it_is_due_and_not_before(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    bench = Bench(tmp_path / "collector", every_seconds=60, clock=clock)
    bench.drop("one.csv", FILE)
    assert await bench.worker.step() == 60
    clock.instant = NOW + timedelta(seconds=20)
    assert await bench.worker.step() == 40
    assert bench.runs() == []
    clock.instant = NOW + timedelta(seconds=60)
    assert await bench.worker.step() == 60
    assert [run["state"] for run in bench.runs()] == ["succeeded"]
    bench.database.close()


async def test_a_restart_is_no_reason_to_read_again(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    bench = Bench(tmp_path / "collector", every_seconds=3600, clock=clock)
    bench.drop("one.csv", FILE)
    await bench.read()
    clock.instant = NOW + timedelta(seconds=600)
    bench.restart()
    await bench.service.collector.recover()
    assert await bench.worker.step() == 3000
    bench.database.close()


async def test_a_run_that_is_asked_for_is_told_even_if_it_finds_nothing(bench: Bench) -> None:
    (run_id,) = await bench.service.collector.ask(["files"])
    assert await bench.worker.step() == 0
    (run,) = bench.runs()
    assert (run["run_id"], run["state"], run["samples"]) == (run_id, "succeeded", 0)
    assert len(bench.spooled("collection.runs")) == 1


async def test_a_run_that_is_asked_for_outlives_a_kill(bench: Bench) -> None:
    await bench.service.collector.ask([])
    bench.drop("one.csv", FILE)
    bench.restart()
    await bench.service.collector.recover()
    await bench.worker.step()
    assert [(run["state"], run["samples"]) for run in bench.runs()] == [("succeeded", 1)]


async def test_a_full_spool_pauses_the_sources_and_drops_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "collector", max_bytes=2000)
    for number in range(6):
        bench.drop(f"{number}.csv", HEADER + f"object-{number},C,2026-11-21,{number}\n" * 20)
    await bench.read()
    taken = len(bench.names("taken"))
    assert 0 < taken < 6
    reasons = await bench.service.reasons_not_ready()
    assert any("the spool" in reason for reason in reasons)
    seen = 0
    while bench.names("taken") != [f"{number}.csv" for number in range(6)]:
        last, messages = bench.service.spool.next_messages()
        seen += sum(one.topic == "usage.samples" for one in messages)
        bench.service.spool.acknowledged(last)
        await bench.read()
    assert seen + len(bench.spooled()) == 6
    last, _ = bench.service.spool.next_messages()
    bench.service.spool.acknowledged(last)
    await bench.read()
    assert await bench.service.reasons_not_ready() == []
    bench.database.close()
