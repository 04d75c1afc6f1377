from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from tallyport.batch_hash import ChunkFact, ChunkOrderError, batch_sha256

DAY = date(2026, 11, 21)
CHUNKS = (
    ChunkFact(1, "organisations", 3, "aa" * 32),
    ChunkFact(2, "allocations", 0, "bb" * 32),
    ChunkFact(3, "lines", 1000, "cc" * 32),
)


def test_the_hash_is_that_of_the_documented_text() -> None:
    text = (
        "tallyport-batch-v1\n2026-11-21\n2\n" + "dd" * 32 + "\n"
        "1 organisations 3 " + "aa" * 32 + "\n"
        "2 allocations 0 " + "bb" * 32 + "\n"
        "3 lines 1000 " + "cc" * 32 + "\n"
    )
    assert batch_sha256(DAY, 2, "dd" * 32, CHUNKS) == hashlib.sha256(text.encode()).hexdigest()


def test_the_first_batch_of_all_has_a_dash_for_the_hash_before() -> None:
    text = "tallyport-batch-v1\n2026-11-21\n1\n-\n"
    assert batch_sha256(DAY, 1, None, []) == hashlib.sha256(text.encode()).hexdigest()


def test_chunks_may_come_from_a_generator() -> None:
    assert batch_sha256(DAY, 1, None, iter(CHUNKS)) == batch_sha256(DAY, 1, None, CHUNKS)


@pytest.mark.parametrize(
    "change",
    [{"kind": "lines"}, {"row_count": 4}, {"sha256": "ab" * 32}],
    ids=["kind", "row count", "hash"],
)
def test_every_fact_of_a_chunk_counts(change: dict[str, Any]) -> None:
    changed = (replace(CHUNKS[0], **change), *CHUNKS[1:])
    assert batch_sha256(DAY, 1, None, changed) != batch_sha256(DAY, 1, None, CHUNKS)


def test_date_revision_and_the_batch_before_count() -> None:
    hashes = {
        batch_sha256(DAY, 1, None, CHUNKS),
        batch_sha256(date(2026, 11, 20), 1, None, CHUNKS),
        batch_sha256(DAY, 2, None, CHUNKS),
        batch_sha256(DAY, 1, "ee" * 32, CHUNKS),
    }
    assert len(hashes) == 4


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2), (1, 2), (0, 0, 1)])
def test_a_gap_a_repetition_or_another_order_is_an_error(order: tuple[int, ...]) -> None:
    with pytest.raises(ChunkOrderError):
        batch_sha256(DAY, 1, None, [CHUNKS[index] for index in order])
