"""Usage files: rows of a CSV become chunks, and the same file becomes the same events every time."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from pydantic import ValidationError
from tallyport.contracts.base import Contract, DecimalText, Identifier, Instant
from tallyport.contracts.usage import MAX_SAMPLES_PER_CHUNK, UsageChunk

from tallyport_local.errors import InvalidInputError

REQUIRED: Final = ("object_id", "counter", "day", "value")
OPTIONAL: Final = ("measured_at", "id")
MAX_BUFFERED_ROWS: Final = 500_000
_MAX_FIELD_CHARACTERS: Final = 4096


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
    """A line that cannot be used: its number in the file (from 1, the header counts) and why."""

    number: int
    reason: str


@dataclass(frozen=True)
class UsageEvent:
    """A chunk on its way, with the id that makes a second import of it a duplicate."""

    event_id: str
    chunk: UsageChunk


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


def read_usage(lines: Iterable[str], source: str) -> Iterator[UsageEvent | BadLine]:
    """Events of up to 1,000 samples, and the lines that are in none, as they are met.

    Rows with an ``id`` of their own become single samples under that id.

    Raises:
        InvalidInputError: when the header is not that of a usage file.
    """
    csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    reader = csv.reader(lines, strict=True)
    header = _header(reader)
    buffers: dict[tuple[str, date, datetime], _Buffer] = {}
    buffered = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield BadLine(reader.line_num, str(error))
            continue
        if not fields:
            continue
        row = _row(header, fields, reader.line_num)
        if isinstance(row, BadLine):
            yield row
            continue
        measured_at = row.measured_at or end_of(row.day)
        if row.id:
            yield UsageEvent(row.id, _chunk((row.counter, row.day, measured_at), _Buffer([row.object_id], [row.value])))
            continue
        key = (row.counter, row.day, measured_at)
        buffer = buffers.setdefault(key, _Buffer())
        buffer.object_ids.append(row.object_id)
        buffer.values.append(row.value)
        buffered += 1
        if len(buffer.values) == MAX_SAMPLES_PER_CHUNK or buffered >= MAX_BUFFERED_ROWS:
            buffered -= len(buffer.values)
            yield _event(key, buffers.pop(key), source)
    for key, buffer in buffers.items():
        yield _event(key, buffer, source)


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip().removeprefix("\ufeff") for name in next(reader)]
    except StopIteration:
        raise InvalidInputError("line 1: the file is empty; a usage file begins with its header") from None
    except csv.Error as error:
        raise InvalidInputError(f"line 1: {error}") from error
    missing = [name for name in REQUIRED if name not in header]
    unknown = [name for name in header if name not in {*REQUIRED, *OPTIONAL}]
    if missing or unknown or len(set(header)) != len(header):
        raise InvalidInputError(
            f"line 1: the header is {','.join(header)!r}; expected {','.join(REQUIRED)}"
            f" and optionally {' and '.join(OPTIONAL)}"
        )
    return header


def _row(header: list[str], fields: list[str], number: int) -> _Row | BadLine:
    if len(fields) != len(header):
        return BadLine(number, f"{len(fields)} fields, the header has {len(header)}")
    named = {name: text for name, text in zip(header, fields, strict=True) if text or name in REQUIRED}
    try:
        return _Row.model_validate_strings(named)
    except ValidationError as error:
        return BadLine(number, reason_of(error))


def _chunk(key: tuple[str, date, datetime], buffer: _Buffer) -> UsageChunk:
    counter, day, measured_at = key
    return UsageChunk(
        counter=counter, day=day, measured_at=measured_at, object_ids=buffer.object_ids, values=buffer.values
    )


def _event(key: tuple[str, date, datetime], buffer: _Buffer, source: str) -> UsageEvent:
    chunk = _chunk(key, buffer)
    digest = hashlib.sha256(source.encode() + b"\x00" + chunk.write()).hexdigest()
    return UsageEvent(digest, chunk)
