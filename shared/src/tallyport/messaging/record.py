"""A record as it came from Kafka, and the event inside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

T_co = TypeVar("T_co", covariant=True)


class Record(msgspec.Struct, frozen=True, gc=False):
    """Raw bytes and where they stood. ``topic`` is the name without the installation's prefix.

    A struct, because there is one for each sample on the usage path: a named tuple costs four times as much to make.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The data of a record without a value on a compacted topic: what ``key`` names is no more."""

    key: str


@dataclass(frozen=True, slots=True)
class Event(Generic[T_co]):
    """A usable record: the CloudEvents attributes and the validated data."""

    id: str
    source: str
    type: str
    time: datetime
    subject: str | None
    correlation_id: str
    data: T_co
    record: Record


class UnusableRecordError(ValueError):
    """A record that no retry can mend; the message is the reason kept with the dead letter."""
