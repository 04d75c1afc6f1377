"""The spool file itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from collector_bench import NOW, Bench
from usage_collector.database import Database, SpoolInUseError
from usage_collector.spool.store import MAX_BATCH_BYTES, Message


def _put(bench: Bench, *sizes: int) -> None:
    with bench.database.write() as tx:
        for size in sizes:
            bench.service.spool.put(tx, Message("t", b"k", b"x" * size, (("h", b"\xff\x00"),)), NOW)


def test_a_spool_has_one_collector(bench: Bench) -> None:
    with pytest.raises(SpoolInUseError):
        Database(bench.root / "spool.sqlite")


def test_every_commit_is_on_the_disk(bench: Bench) -> None:
    with bench.database.write() as tx:
        full = 2
        assert tx.execute("PRAGMA synchronous").fetchone()[0] == full
        assert tx.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_what_is_undone_does_not_count(bench: Bench) -> None:
    def fail() -> None:
        with bench.database.write() as tx:
            bench.service.spool.put(tx, Message("t", b"k", b"v", ()), NOW)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert bench.service.spool.state(NOW).records == 0
    assert bench.service.spool.used_bytes() == 0


def test_a_batch_is_bounded_and_headers_are_bytes(bench: Bench) -> None:
    _put(bench, MAX_BATCH_BYTES, 10, 10)
    last, first = bench.service.spool.next_messages()
    assert [len(one.value or b"") for one in first] == [MAX_BATCH_BYTES]
    assert first[0].headers == (("h", b"\xff\x00"),)
    bench.service.spool.acknowledged(last)
    _, rest = bench.service.spool.next_messages()
    assert len(rest) == 2
    assert bench.service.spool.state(NOW + timedelta(seconds=90)).oldest_seconds == 90


def test_space_is_given_back(bench: Bench) -> None:
    _put(bench, *[100_000] * 50)
    last, _ = bench.service.spool.next_messages()
    bench.service.spool.acknowledged(last + 100)
    bench.restart()
    assert (bench.root / "spool.sqlite").stat().st_size < 1_000_000
