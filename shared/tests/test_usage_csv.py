"""Usage files: whatever is in them, each row is in one chunk or is a bad line, and the same file is the same events."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyport.contracts.usage import MAX_SAMPLES_PER_CHUNK
from tallyport.usage_csv import MAX_LINE_BYTES, BadLine, UsageEvent, UsageFileError, end_of, read_usage, text_lines

HEADER = "object_id,counter,day,value\n"

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["DiskUsageMB", "Mails"]),
        st.dates(date(2026, 10, 1), date(2026, 10, 3)),
        st.one_of(st.integers(0, 10**12).map(str), st.sampled_from(["12.50", "0.000001", "NaN", "1e3", ""])),
    ),
    max_size=60,
)


def _events(text: str, source: str = "files") -> list[UsageEvent]:
    return [one for one in read_usage(text.splitlines(keepends=True), source) if isinstance(one, UsageEvent)]


@given(ROWS)
def test_every_row_is_in_one_chunk_or_bad(rows: list[tuple[str, str, date, str]]) -> None:
    text = HEADER + "".join(f"{','.join(map(str, row))}\n" for row in rows)
    found = list(read_usage(text.splitlines(keepends=True), "files"))
    bad = [one for one in found if isinstance(one, BadLine)]
    sent = Counter(
        (object_id, event.chunk.counter, event.chunk.day, str(value))
        for event in found
        if isinstance(event, UsageEvent)
        for object_id, value in zip(event.chunk.object_ids, event.chunk.values, strict=True)
    )
    assert sent == Counter(row for row in rows if row[3] not in {"NaN", "1e3", ""})
    assert [text.splitlines(keepends=True)[one.number - 1] for one in bad] == [one.text for one in bad]


@given(ROWS)
def test_the_same_file_is_the_same_events(rows: list[tuple[str, str, date, str]]) -> None:
    text = HEADER + "".join(f"{','.join(map(str, row))}\n" for row in rows)
    first, again, other = _events(text), _events(text), _events(text, "another source")
    assert first == again
    assert not {one.event_id for one in first} & {one.event_id for one in other}
    assert len({one.event_id for one in first}) == len(first)


@given(st.integers(1, 3500))
def test_chunks_are_as_full_as_they_may_be(rows: int) -> None:
    text = HEADER + "".join(f"o{number},C,2026-10-01,{number}\n" for number in range(rows))
    sizes = [len(event.chunk.values) for event in _events(text)]
    assert sum(sizes) == rows
    assert all(size == MAX_SAMPLES_PER_CHUNK for size in sizes[:-1])


def test_a_value_that_does_not_say_when_was_measured_at_the_end_of_its_day() -> None:
    (event,) = _events(HEADER + "a,C,2026-12-31,1\n")
    assert event.chunk.measured_at == end_of(date(2026, 12, 31)) == datetime(2027, 1, 1, tzinfo=UTC)


def test_what_is_not_utf8_is_a_bad_line() -> None:
    raw = HEADER.encode() + b"caf\xe9,C,2026-10-01,1\na,C,2026-10-01,1\n"
    bad, event = read_usage(text_lines(io.BytesIO(raw)), "files")
    assert isinstance(bad, BadLine)
    assert bad.number == 2
    assert isinstance(event, UsageEvent)
    assert event.chunk.object_ids == ["a"]


def test_a_line_without_end_is_refused() -> None:
    raw = HEADER.encode() + b"x" * (MAX_LINE_BYTES + 1)
    with pytest.raises(UsageFileError, match="line 2: longer than") as caught:
        list(read_usage(text_lines(io.BytesIO(raw)), "files"))
    assert caught.value.line == 2


def test_an_open_quote_takes_its_lines_with_it_and_says_so() -> None:
    found = list(read_usage([HEADER, '"open,C,2026-10-01,1\n', "a,C,2026-10-01,1\n"], "files"))
    assert [type(one) for one in found] == [BadLine]
    assert isinstance(found[0], BadLine)
    assert found[0].text == '"open,C,2026-10-01,1\na,C,2026-10-01,1\n'
