"""Usage chunks as the fast path sees them: columns of text, checked in bulk; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from typing import Final

import msgspec
from tallyport.contracts.usage import MAX_SAMPLES_PER_CHUNK, UsageChunk
from tallyport.money import MAX_DIGITS, plain

EARLIEST_DAYS_BACK: Final = 400
LATEST_DAYS_AHEAD: Final = 2
_NUMERIC_CHARACTERS: Final = b"0123456789.+-,"
_MAX_ID: Final = 200


class Chunk(msgspec.Struct, gc=False):
    """One counter of many objects; ``values`` are decimals as text, as long as ``object_ids``.

    msgspec reads it ten times as fast as each value can be validated by itself.
    """

    counter: str
    day: date
    measured_at: datetime
    object_ids: list[str]
    values: list[str]


_DECODER: Final = msgspec.json.Decoder(Chunk)


def decode(raw: bytes) -> Chunk | None:
    """The chunk as it was sent, its texts unchecked; None if it is not even shaped like one."""
    try:
        chunk = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    count = len(chunk.object_ids)
    if 0 < count <= MAX_SAMPLES_PER_CHUNK and len(chunk.values) == count and chunk.measured_at.tzinfo is not None:
        return chunk
    return None


def are_plain(chunks: Sequence[Chunk]) -> bool:
    """Whether all of ``chunks`` are plainly what the contract says: a quick yes for a whole poll, or no.

    What passes here and is no number after all (``1.2.3``) is refused by the database, and then looked at thoroughly.
    """
    if not chunks:
        return True
    values = list(chain.from_iterable(chunk.values for chunk in chunks))
    numbers = ",".join(values)
    # No other character, no comma inside a value, nothing empty or absurdly long, no id that the contract refuses.
    return (
        numbers.isascii()
        and not numbers.encode().translate(None, _NUMERIC_CHARACTERS)
        and numbers.count(",") == len(values) - 1
        and min(map(len, values)) > 0
        and max(map(len, values)) <= MAX_DIGITS
        and _plain_ids(list(chain.from_iterable(chunk.object_ids for chunk in chunks)))
        and _plain_ids(list({chunk.counter for chunk in chunks}))
    )


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
        chunk.counter, chunk.day, chunk.measured_at, chunk.object_ids, [plain(value) for value in chunk.values]
    )


@dataclass(frozen=True, slots=True)
class DayWindow:
    """The days of which samples are taken in, both inclusive."""

    earliest: date
    latest: date

    @classmethod
    def around(cls, today: date, keep_days: int = EARLIEST_DAYS_BACK) -> DayWindow:
        """From 400 days back to 2 days ahead, which leaves room for every time zone.

        Samples that are kept for fewer days than that are not taken in when they are older: they would be let go at
        the next hour, and nobody would hear of it.
        """
        back = min(keep_days, EARLIEST_DAYS_BACK)
        return cls(today - timedelta(days=back), today + timedelta(days=LATEST_DAYS_AHEAD))

    def why_not(self, day: date) -> str | None:
        """Why a sample of ``day`` is not taken in, with the window; None if it is."""
        if self.earliest <= day <= self.latest:
            return None
        return f"day: {day} is not between {self.earliest} and {self.latest}"
