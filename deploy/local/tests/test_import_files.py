"""Usage and directory files: what becomes an event, what is a bad line, and that the same file is the same events."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from tallyport.contracts.directory import Organisation, Removal
from tallyport.usage_csv import BadLine, UsageEvent, UsageFileError, read_usage
from tallyport_local.directory_jsonl import DirectoryEvent, read_directory

HEADER = "object_id,counter,day,value\n"


def _read(text: str, source: str = "mail-1") -> list[UsageEvent | BadLine]:
    return list(read_usage(text.splitlines(keepends=True), source))


def test_rows_of_one_counter_and_day_travel_together() -> None:
    (event,) = _read(HEADER + "a,DiskUsageMB,2026-10-01,12.50\nb,DiskUsageMB,2026-10-01,0\n")
    assert isinstance(event, UsageEvent)
    assert event.chunk.object_ids == ["a", "b"]
    assert event.chunk.values == [Decimal("12.50"), Decimal(0)]
    assert event.chunk.day == date(2026, 10, 1)
    assert event.chunk.measured_at == datetime(2026, 10, 2, tzinfo=UTC)


def test_a_chunk_holds_a_thousand() -> None:
    text = HEADER + "".join(f"o{number},C,2026-10-01,{number}\n" for number in range(2500))
    chunks = [event.chunk for event in _read(text) if isinstance(event, UsageEvent)]
    assert [len(chunk.values) for chunk in chunks] == [1000, 1000, 500]
    assert sum(sum(chunk.values) for chunk in chunks) == sum(range(2500))


def test_the_same_file_from_the_same_source_is_the_same_events() -> None:
    text = HEADER + "a,C,2026-10-01,1\nb,C,2026-10-02,2\n"

    def ids(found: list[UsageEvent | BadLine]) -> list[str]:
        return [event.event_id for event in found if isinstance(event, UsageEvent)]

    assert ids(_read(text)) == ids(_read(text))
    assert not set(ids(_read(text))) & set(ids(_read(text, "mail-2")))
    assert not set(ids(_read(text))) & set(ids(_read(text.replace(",2\n", ",3\n")))[1:])


def test_a_row_with_an_id_is_an_event_of_its_own() -> None:
    header = "id,object_id,counter,day,value,measured_at\n"
    first, second = _read(f"{header}x-1,a,C,2026-10-01,1,2026-10-01T12:00:00+02:00\n,b,C,2026-10-01,2,\n")
    assert isinstance(first, UsageEvent)
    assert (first.event_id, first.chunk.object_ids) == ("x-1", ["a"])
    assert first.chunk.measured_at == datetime(2026, 10, 1, 10, tzinfo=UTC)
    assert isinstance(second, UsageEvent)
    assert second.chunk.object_ids == ["b"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a,C,2026-10-01,NaN", "value"),
        ("a,C,2026-10-01,1e400", "value"),
        ("a,C,2026-10-01,1_000", "value"),
        ("a,C,2026-10-01,", "value"),
        ("a,C,2026-10-01,0x10", "value"),
        ("a,C,01.10.2026,1", "day"),
        ("a,C,2026-02-30,1", "day"),
        (",C,2026-10-01,1", "object_id"),
        ("a,,2026-10-01,1", "counter"),
        ("a,C,2026-10-01", "3 fields, the header has 4"),
        ("a,C,2026-10-01,1,5", "5 fields, the header has 4"),
        ('"a"x,C,2026-10-01,1', "expected"),
        ("a\tb,C,2026-10-01,1", "object_id"),
    ],
)
def test_a_bad_line_is_reported_and_its_neighbours_go_in(line: str, words: str) -> None:
    found = _read(f"{HEADER}before,C,2026-10-01,1\n{line}\nafter,C,2026-10-01,2\n")
    bad = [one for one in found if isinstance(one, BadLine)]
    assert [one.number for one in bad] == [3]
    assert words in bad[0].reason
    (event,) = [one for one in found if isinstance(one, UsageEvent)]
    assert event.chunk.object_ids == ["before", "after"]


@pytest.mark.parametrize("header", ["", "object_id,counter,day\n", "a,b\n", "object_id,counter,day,value,colour\n"])
def test_another_header_is_refused(header: str) -> None:
    with pytest.raises(UsageFileError, match="line 1"):
        _read(header)


def test_a_byte_order_mark_is_no_part_of_the_header() -> None:
    assert len(_read(f"\ufeff{HEADER}a,C,2026-10-01,1\n")) == 1


def _line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_directory_lines_become_entities_in_order() -> None:
    lines = [
        _line(kind="organisation", id="sp", type="service_provider", name="Provider"),
        b"\n",
        _line(kind="organisation", id="c1", deleted=True),
    ]
    first, second = read_directory(lines)
    assert isinstance(first, DirectoryEvent)
    assert isinstance(first.entity, Organisation)
    assert isinstance(second, DirectoryEvent)
    assert isinstance(second.entity, Removal)
    assert second.entity.entity_key == "organisation:c1"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "Expecting"),
        (b"[]", "JSON object"),
        (b"\xff", "utf-8"),
        (_line(kind="galaxy", id="x"), "'galaxy' is none of"),
        (_line(id="x"), "None is none of"),
        (_line(kind="organisation", id="x", type="shop", name="n"), "type"),
        (_line(kind="organisation", id="x", type="customer"), "name"),
        (_line(kind="site", id="x", customer="c", name="n", colour="red"), "colour"),
        (b'{"kind": "site", "id": "a", "id": "b", "customer": "c", "name": "n"}', "twice"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_bad_directory_line_is_reported_with_its_number(line: bytes, words: str) -> None:
    good = _line(kind="site", id="s", customer="c", name="n")
    found = list(read_directory([good, line, good]))
    assert [type(one) for one in found] == [DirectoryEvent, BadLine, DirectoryEvent]
    bad = found[1]
    assert isinstance(bad, BadLine)
    assert bad.number == 2
    assert words in bad.reason
