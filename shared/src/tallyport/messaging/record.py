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

    @property
    def place(self) -> str:
        """Where it stood, as logs and reasons name it."""
        return f"{self.topic}:{self.partition}:{self.offset}"

    @property
    def correlation_id(self) -> str | None:
        """What its headers say it belongs to, however broken the rest of it is; an event by itself is its own."""
        said = {name: value for name, value in self.headers if name in ("ce_correlationid", "ce_id") and value}
        found = said.get("ce_correlationid") or said.get("ce_id")
        return None if found is None else found.decode(errors="replace")


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
