"""Usage files: rows of a CSV become chunks, and the same file becomes the same events every time."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import BinaryIO, Final

from pydantic import ValidationError

from tallyport.contracts.base import Contract, DecimalText, Identifier, Instant
from tallyport.contracts.usage import MAX_SAMPLES_PER_CHUNK, UsageChunk

REQUIRED: Final = ("object_id", "counter", "day", "value")
OPTIONAL: Final = ("measured_at", "id")
MAX_BUFFERED_ROWS: Final = 200_000
MAX_LINE_BYTES: Final = 64 * 1024
_MAX_FIELD_CHARACTERS: Final = 4096


class UsageFileError(ValueError):
    """The file as a whole cannot be used: the line where that shows, and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line


class _Row(Contract):
    """One line of the file."""

    object_id: Identifier
    counter: Identifier
    day: date
    value: DecimalText
    measured_at: Instant | None = None
    id: Identifier | None = None


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be used: its number in the file (from 1, the header counts), why, and the line itself."""

    number: int
    reason: str
    text: str = ""


@dataclass(frozen=True)
class UsageEvent:
    """A chunk on its way, with the id that makes a second import of it a duplicate."""

    event_id: str
    chunk: UsageChunk


_Key = tuple[str, date, datetime]


@dataclass
class _Buffer:
    object_ids: list[str] = field(default_factory=list)
    values: list[Decimal] = field(default_factory=list)


def end_of(day: date) -> datetime:
    """The moment a day is over, UTC: when a value was measured that does not say when."""
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)


def reason_of(error: ValidationError) -> str:
    """All that is wrong with a record, in one line."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'line'}: {one['msg'].removeprefix('Value error, ')}"
        for one in error.errors(include_url=False, include_input=False)
    )


def text_lines(stream: BinaryIO) -> Iterator[str]:
    """The file's lines as text. What is not UTF-8 becomes surrogates, which no field may hold.

    Raises:
        UsageFileError: when a line is longer than any line of usage.
    """
    for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES), b""), start=1):
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise UsageFileError(number, f"longer than {MAX_LINE_BYTES} bytes")
        yield line.decode("utf-8-sig" if number == 1 else "utf-8", errors="surrogateescape")


class _Lines:
    """The lines of a file, remembering those of the row under way."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._row: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._row.append(line)
        return line

    def take(self) -> str:
        """The lines read since the last call."""
        text = "".join(self._row)
        self._row.clear()
        return text


class _Buffers:
    """Rows that wait until enough of their kind have come."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._buffers: dict[_Key, _Buffer] = {}
        self._rows = 0

    def add(self, row: _Row) -> Iterator[UsageEvent]:
        """Take a row; gives what is full."""
        key = (row.counter, row.day, row.measured_at or end_of(row.day))
        if row.id:
            yield UsageEvent(row.id, _chunk(key, _Buffer([row.object_id], [row.value])))
            return
        buffer = self._buffers.setdefault(key, _Buffer())
        buffer.object_ids.append(row.object_id)
        buffer.values.append(row.value)
        self._rows += 1
        if len(buffer.values) == MAX_SAMPLES_PER_CHUNK:
            self._rows -= MAX_SAMPLES_PER_CHUNK
            yield _event(key, self._buffers.pop(key), self._source)
        elif self._rows >= MAX_BUFFERED_ROWS:
            yield from self.rest()

    def rest(self) -> Iterator[UsageEvent]:
        """Everything that still waits."""
        for key, buffer in self._buffers.items():
            yield _event(key, buffer, self._source)
        self._buffers.clear()
        self._rows = 0


def read_usage(lines: Iterable[str], source: str) -> Iterator[UsageEvent | BadLine]:
    """Events of up to 1,000 samples, and the lines that are in none, as they are met.

    Rows with an ``id`` of their own become single samples under that id.

    Raises:
        UsageFileError: when the header is not that of a usage file.
    """
    csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    raw = _Lines(lines)
    reader = csv.reader(raw, strict=True)
    header = _header(reader)
    buffers = _Buffers(source)
    while True:
        raw.take()
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield BadLine(reader.line_num, str(error), raw.take())
            continue
        if not fields:
            continue
        row = _row(header, fields)
        if isinstance(row, str):
            yield BadLine(reader.line_num, row, raw.take())
        else:
            yield from buffers.add(row)
    yield from buffers.rest()


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip().removeprefix("\ufeff") for name in next(reader)]
    except StopIteration:
        raise UsageFileError(1, "the file is empty; a usage file begins with its header") from None
    except csv.Error as error:
        raise UsageFileError(1, str(error)) from error
    missing = [name for name in REQUIRED if name not in header]
    unknown = [name for name in header if name not in {*REQUIRED, *OPTIONAL}]
    if missing or unknown or len(set(header)) != len(header):
        raise UsageFileError(
            1,
            f"the header is {','.join(header)!r}; expected {','.join(REQUIRED)}"
            f" and optionally {' and '.join(OPTIONAL)}",
        )
    return header


def _row(header: list[str], fields: list[str]) -> _Row | str:
    """The row, or why it cannot be used."""
    if len(fields) != len(header):
        return f"{len(fields)} fields, the header has {len(header)}"
    named = {name: text for name, text in zip(header, fields, strict=True) if text or name in REQUIRED}
    try:
        return _Row.model_validate_strings(named)
    except ValidationError as error:
        return reason_of(error)


def _chunk(key: _Key, buffer: _Buffer) -> UsageChunk:
    counter, day, measured_at = key
    return UsageChunk(
        counter=counter, day=day, measured_at=measured_at, object_ids=buffer.object_ids, values=buffer.values
    )


def _event(key: _Key, buffer: _Buffer, source: str) -> UsageEvent:
    chunk = _chunk(key, buffer)
    return UsageEvent(chunk_id(source, chunk), chunk)


def chunk_id(source: str, chunk: UsageChunk) -> str:
    """The event id of a chunk: the same samples from the same source are the same event."""
    return hashlib.sha256(source.encode() + b"\x00" + chunk.write()).hexdigest()
