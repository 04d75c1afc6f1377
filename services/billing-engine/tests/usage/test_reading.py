"""The quick look at a chunk and the thorough one agree."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from billing_engine.usage.model import Chunk, are_plain, decode, read_thoroughly
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

BODY: dict[str, Any] = {
    "counter": "DiskUsageMB",
    "day": "2026-01-02",
    "measured_at": "2026-01-02T12:00:00+01:00",
    "object_ids": ["a", "b"],
    "values": ["1.50", "-2"],
}


def read_quickly(raw: bytes) -> Chunk | None:
    """What the quick look makes of one record."""
    chunk = decode(raw)
    return chunk if chunk is not None and are_plain([chunk]) else None


def test_a_plain_chunk_is_read_quickly_and_the_same() -> None:
    raw = json.dumps(BODY).encode()
    quick = read_quickly(raw)
    assert quick is not None
    assert quick.values == ["1.50", "-2"]
    assert quick == read_thoroughly(raw)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), max_size=6),
            st.one_of(
                st.decimals(allow_nan=True, allow_infinity=True).map(str),
                st.text("0123456789.+-,eE \n", max_size=6),
                st.integers(),
            ),
        ),
        max_size=4,
    )
)
def test_the_quick_look_accepts_no_id_that_the_contract_refuses(samples: list[tuple[str, Any]]) -> None:
    raw = json.dumps(BODY | {"object_ids": [one for one, _ in samples], "values": [v for _, v in samples]}).encode()
    quick = read_quickly(raw)
    if quick is None:
        return
    # Only a text of digits, points and signs that is no number gets this far: the database refuses it, and then it is
    # read thoroughly.
    refused: list[Any] = []
    with contextlib.suppress(ValidationError):
        try:
            assert read_thoroughly(raw).object_ids == quick.object_ids
        except ValidationError as error:
            refused = [problem["loc"][0] for problem in error.errors()]
            raise
    assert set(refused) <= {"values"}


@pytest.mark.parametrize(
    "change",
    [{"values": ["1", "2,3"]}, {"values": ["1"]}, {"values": ["1", "9" * 39]}, {"object_ids": ["a", ""]},
     {"object_ids": ["a", "b\x00"]}, {"measured_at": "2026-01-02T12:00:00"}, {"values": ["1", "\u0661"]}],
)  # fmt: skip
def test_what_is_not_plainly_right_is_not_read_quickly(change: dict[str, Any]) -> None:
    assert read_quickly(json.dumps(BODY | change).encode()) is None


def test_one_that_is_not_plain_makes_the_whole_poll_not_plain() -> None:
    raw = [json.dumps(BODY).encode(), json.dumps(BODY | {"values": ["1", "2,3"]}).encode()]
    chunks = [chunk for chunk in map(decode, raw) if chunk is not None]
    assert are_plain(chunks[:1])
    assert not are_plain(chunks)
