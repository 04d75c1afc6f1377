"""A dropped file is taken once, whole, whatever happens in between."""

from __future__ import annotations

import csv
import json

import pytest
from collector_bench import HEADER, NOW, Bench, event_id, new_run
from tallyport.contracts.collection import CollectionRun
from tallyport.contracts.usage import UsageChunk
from usage_collector.runs.service import SERVICE
from usage_collector.runs.taking import FileChangedError, StoppedError, Taker
from usage_collector.sources.csv_folder import DroppedFile, Signature, sha256_of

FILE = HEADER + "a,DiskUsageMB,2026-11-21,12.50\nb,DiskUsageMB,2026-11-21,7\n"


def _taker(bench: Bench) -> Taker:
    source = f"/tallyport/{SERVICE}/files"
    return Taker(bench.database, bench.service.spool, "files", source, bench.inbox, bench.worker.stop_flag)


def _dropped(bench: Bench, name: str, text: str) -> DroppedFile:
    path = bench.drop(name, text)
    return DroppedFile(path, Signature.of(path))


def _chunks(bench: Bench) -> list[UsageChunk]:
    return [UsageChunk.read(one.value or b"") for one in bench.spooled()]


async def test_a_file_is_spooled_and_moved_away(bench: Bench) -> None:
    bench.drop("one.csv", FILE)
    await bench.read()
    (chunk,) = _chunks(bench)
    assert (chunk.object_ids, [str(one) for one in chunk.values]) == (["a", "b"], ["12.50", "7"])
    assert bench.names("taken") == ["one.csv"]
    assert bench.names("set-aside") == []
    (run,) = bench.runs()
    assert (run["state"], run["samples"], run["objects"], run["failures"]) == ("succeeded", 2, 2, [])
    (told,) = bench.spooled("collection.runs")
    assert CollectionRun.read(told.value or b"").samples == 2
    headers = dict(bench.spooled()[0].headers)
    assert headers["ce_source"] == b"/tallyport/usage-collector/files"
    assert headers["ce_correlationid"].decode() == run["run_id"]


async def test_a_look_that_finds_nothing_is_no_run(bench: Bench) -> None:
    await bench.read()
    assert bench.runs() == []
    assert bench.spooled("collection.runs") == []


async def test_a_kill_between_commit_and_move_neither_loses_nor_doubles(bench: Bench) -> None:
    file = _dropped(bench, "one.csv", FILE)
    _taker(bench).commit(file, sha256_of(file.path), new_run(), NOW)
    bench.restart()
    assert file.path.exists()
    await bench.service.collector.recover()
    await bench.read()
    assert len(_chunks(bench)) == 1
    assert bench.names("taken") == ["one.csv"]
    # The run that was under way is told at its end, with what it had done.
    assert [(run["state"], run["samples"]) for run in bench.runs() if run["run_id"] == "run-1"] == [("succeeded", 2)]


async def test_a_kill_before_the_commit_leaves_nothing(bench: Bench) -> None:
    file = _dropped(bench, "one.csv", FILE + "bad,DiskUsageMB,2026-11-21,NaN\n")
    bench.worker.stop_reading()
    with pytest.raises(StoppedError):
        _taker(bench).take(file, new_run(), NOW)
    assert bench.spooled() == []
    bench.restart()
    await bench.read()
    assert [len(chunk.values) for chunk in _chunks(bench)] == [2]
    assert bench.names("taken") == ["one.csv"]


async def test_the_same_file_dropped_again_is_only_moved(bench: Bench) -> None:
    for _ in range(2):
        bench.drop("one.csv", FILE)
        await bench.read()
    assert len(_chunks(bench)) == 1
    assert bench.names("taken") == ["one.csv"]
    assert len(bench.runs()) == 1


async def test_another_content_under_the_same_name_is_another_file(bench: Bench) -> None:
    for text in (FILE, FILE.replace("12.50", "13")):
        bench.drop("one.csv", text)
        await bench.read()
    assert len({event_id(one) for one in bench.spooled()}) == 2
    assert len(bench.names("taken")) == 2


async def test_bad_rows_are_set_aside_with_row_and_reason(bench: Bench) -> None:
    bench.drop("one.csv", FILE + 'x,DiskUsageMB,2026-11-21,NaN\n"y"z,C,2026-11-21,1\nc,DiskUsageMB,2026-11-21,1\n')
    await bench.read()
    assert [chunk.object_ids for chunk in _chunks(bench)] == [["a", "b", "c"]]
    with (bench.inbox / "set-aside" / "one.csv.bad.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["row"], row["line"]) for row in rows] == [
        ("4", "x,DiskUsageMB,2026-11-21,NaN"),
        ("5", '"y"z,C,2026-11-21,1'),
    ]
    assert "not a plain decimal" in rows[0]["reason"]
    (run,) = bench.runs()
    assert (run["state"], run["samples"], run["failure_count"]) == ("partial", 3, 2)
    assert run["failures"][0]["place"] == "one.csv:4"


async def test_a_hundred_failures_are_named_and_all_are_counted(bench: Bench) -> None:
    bench.drop("one.csv", HEADER + "a,C,2026-11-21,NaN\n" * 250)
    await bench.read()
    (told,) = bench.spooled("collection.runs")
    run = CollectionRun.read(told.value or b"")
    assert (run.state, run.failure_count, len(run.failures)) == ("failed", 250, 100)


@pytest.mark.parametrize("text", ["", "nothing,like,it\n", FILE + "x" * 70_000])
async def test_a_file_that_is_no_usage_file_is_set_aside_whole(bench: Bench, text: str) -> None:
    bench.drop("one.csv", text)
    await bench.read()
    assert bench.spooled() == []
    assert bench.names("set-aside") == ["one.csv", "one.csv.bad.csv"]
    assert bench.names("taken") == []
    assert [run["state"] for run in bench.runs()] == ["failed"]


async def test_bytes_that_are_not_utf8_are_a_bad_row(bench: Bench) -> None:
    (bench.inbox / "one.csv").write_bytes(FILE.encode() + b"caf\xe9,C,2026-11-21,1\n")
    await bench.read()
    assert [len(chunk.values) for chunk in _chunks(bench)] == [2]
    assert bench.runs()[0]["failures"][0]["place"] == "one.csv:4"


async def test_a_file_that_changes_while_it_is_read_is_left_for_later(bench: Bench) -> None:
    file = _dropped(bench, "one.csv", FILE)
    with file.path.open("a", encoding="utf-8") as stream:
        stream.write("c,DiskUsageMB,2026-11-21,1\n")
    with pytest.raises(FileChangedError):
        _taker(bench).take(file, new_run(), NOW)
    assert bench.spooled() == []
    assert bench.names("taken") == []


async def test_a_folder_that_is_away_is_told_once(bench: Bench) -> None:
    bench.inbox.rename(bench.root / "elsewhere")
    await bench.read()
    await bench.read()
    (run,) = bench.runs()
    assert run["state"] == "failed"
    assert "No such file" in run["failures"][0]["reason"]
    (bench.root / "elsewhere").rename(bench.inbox)
    bench.drop("one.csv", FILE)
    await bench.read()
    assert bench.runs()[0]["state"] == "succeeded"


async def test_a_new_installation_gets_its_folder(bench: Bench) -> None:
    bench.inbox.rmdir()
    await bench.service.collector.recover()
    await bench.read()
    assert bench.inbox.is_dir()
    assert bench.runs() == []


async def test_many_files_are_one_run(bench: Bench) -> None:
    for number in range(5):
        bench.drop(f"{number}.csv", HEADER + f"a,C,2026-11-{number + 1:02},1\nb{number},C,2026-11-01,{number}\n")
    await bench.read()
    (run,) = bench.runs()
    assert (run["samples"], run["objects"]) == (10, 6)
    assert json.loads(bench.spooled("collection.runs")[0].value or b"")["samples"] == 10
