"""Usage chunks as the fast path sees them: columns of text, checked in bulk; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
from tallyport.contracts.usage import MAX_SAMPLES_PER_CHUNK, UsageChunk
from tallyport.messaging.record import UnusableRecordError
from tallyport.money import MAX_DIGITS, plain

EARLIEST_DAYS_BACK: Final = 400
LATEST_DAYS_AHEAD: Final = 2
_NUMERIC_CHARACTERS: Final = b"0123456789.+-,"
_MAX_ID: Final = 200


class _RawChunk(msgspec.Struct, gc=False):
    """The contract's fields, undigested: msgspec is ten times as fast as validating each value by itself."""

    counter: str
    day: date
    measured_at: datetime
    object_ids: list[str]
    values: list[str]


_DECODER: Final = msgspec.json.Decoder(_RawChunk)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One counter of many objects: ``numbers`` is the values as PostgreSQL array elements, joined by commas."""

    counter: str
    day: date
    measured_at: datetime
    object_ids: list[str]
    numbers: str


def read_quickly(raw: bytes) -> Chunk | None:
    """The chunk, if it is plainly what the contract says; None if a thorough look is needed.

    What passes here and is no number after all (``1.2.3``) is refused by the database, and then looked at thoroughly.
    """
    try:
        found = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    ids, values = found.object_ids, found.values
    count = len(ids)
    if not 0 < count <= MAX_SAMPLES_PER_CHUNK or len(values) != count or found.measured_at.tzinfo is None:
        return None
    numbers = ",".join(values)
    # No other character, no comma inside a value, nothing absurdly long, no object id that the contract refuses.
    if (
        not numbers.isascii()
        or numbers.encode().translate(None, _NUMERIC_CHARACTERS)
        or numbers.count(",") != count - 1
        or max(map(len, values)) > MAX_DIGITS
        or not _plain_ids(ids)
        or not _plain_ids([found.counter])
    ):
        return None
    return Chunk(found.counter, found.day, found.measured_at.astimezone(UTC), ids, numbers)


def _plain_ids(ids: list[str]) -> bool:
    """A quick yes for the usual identifiers; spaces and the like take the thorough way."""
    together = "".join(ids)
    return together.isprintable() and " " not in together and min(map(len, ids)) > 0 and max(map(len, ids)) <= _MAX_ID


def read_thoroughly(raw: bytes) -> Chunk:
    """The chunk by the contract.

    Raises:
        pydantic.ValidationError: naming each wrong field.
    """
    chunk = UsageChunk.read(raw)
    return Chunk(
        chunk.counter, chunk.day, chunk.measured_at, chunk.object_ids, ",".join(plain(value) for value in chunk.values)
    )


@dataclass(frozen=True, slots=True)
class DayWindow:
    """The days of which samples are taken in, both inclusive."""

    earliest: date
    latest: date

    @classmethod
    def around(cls, today: date) -> DayWindow:
        """From 400 days back to 2 days ahead, which leaves room for every time zone."""
        return cls(today - timedelta(days=EARLIEST_DAYS_BACK), today + timedelta(days=LATEST_DAYS_AHEAD))

    def check(self, day: date) -> None:
        """Refuse a day outside.

        Raises:
            UnusableRecordError: with the day and the window.
        """
        if not self.earliest <= day <= self.latest:
            raise UnusableRecordError(f"day: {day} is not between {self.earliest} and {self.latest}")
