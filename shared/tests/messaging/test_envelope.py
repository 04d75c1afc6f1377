"""CloudEvents attributes in Kafka headers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyport.messaging.envelope import Envelope, inbox_id, read_envelope
from tallyport.messaging.record import Record, UnusableRecordError

GOOD = {
    "ce_specversion": b"1.0",
    "ce_id": b"1",
    "ce_source": b"/s",
    "ce_type": b"t.v1",
    "ce_time": b"2026-01-02T03:04:05Z",
}


def record(headers: dict[str, bytes]) -> Record:
    return Record("topic", 0, 7, None, b"{}", tuple(headers.items()), 1_700_000_000_123)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=100), st.datetimes())
def test_what_is_written_is_read(text: str, time: datetime) -> None:
    written = Envelope(text, f"/{text}", "t.v1", time.replace(tzinfo=UTC), text, text)
    assert read_envelope(record(dict(written.headers()))) == written


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ce_specversion", b"0.3", "ce_specversion"),
        ("ce_specversion", None, "ce_specversion: missing"),
        ("ce_id", None, "ce_id: missing"),
        ("ce_id", b"", "ce_id: missing"),
        ("ce_source", b"\xff", "ce_source: not UTF-8"),
        ("ce_type", b"a\x00b", "ce_type: holds a NUL"),
        ("ce_id", b"x" * 1025, "ce_id: 1025 bytes"),
        ("ce_time", b"yesterday", "ce_time"),
        ("ce_time", b"2026-01-01T00:00:00", "has no offset"),
    ],
)
def test_a_header_that_is_wrong_is_named(name: str, value: bytes | None, reason: str) -> None:
    headers = {key: one for key, one in {**GOOD, name: value}.items() if one is not None}
    with pytest.raises(UnusableRecordError, match=reason):
        read_envelope(record(headers))


def test_without_a_time_the_record_has_one() -> None:
    headers = {name: value for name, value in GOOD.items() if name != "ce_time"}
    assert read_envelope(record(headers)).time == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_different_ids_stay_different_in_the_inbox(one: str, other: str) -> None:
    assert (inbox_id(one) == inbox_id(other)) == (one == other)


def test_a_uuid_is_kept_as_it_is() -> None:
    text = "0189d3f2-2d1e-7a30-9c0a-1b2c3d4e5f60"
    assert inbox_id(text) == text
    assert inbox_id(text.upper()) != text
