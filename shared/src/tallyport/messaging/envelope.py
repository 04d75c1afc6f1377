"""CloudEvents 1.0 in Kafka's binary content mode: attributes are ``ce_*`` headers, the value is the data."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from uuid import uuid4

import msgspec

from tallyport.messaging.record import Record, UnusableRecordError

MAX_ATTRIBUTE_BYTES = 1024
SOURCE_PREFIX = "/tallyport/"

# Lower case only: the canonical form. Another spelling of the same id is hashed, and so is another id, as it should be.
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_UUID_CHARACTERS: Final = 36


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """The CloudEvents attributes of one record. ``time`` is when the event's producer made it."""

    id: str
    source: str
    type: str
    time: datetime
    subject: str | None = None
    correlation_id: str | None = None

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The attributes as Kafka headers."""
        named = {
            "ce_specversion": "1.0",
            "ce_id": self.id,
            "ce_source": self.source,
            "ce_type": self.type,
            "ce_time": self.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "ce_subject": self.subject,
            "ce_correlationid": self.correlation_id,
            "content-type": "application/json",
        }
        return tuple((name, value.encode()) for name, value in named.items() if value is not None)


def new_event_id() -> str:
    """An id nobody else has."""
    return str(uuid4())


def read_envelope(record: Record) -> Envelope:
    """The attributes of ``record``.

    Raises:
        UnusableRecordError: naming the header that is missing or wrong.
    """
    raw = dict(record.headers)
    version = raw.get("ce_specversion")
    if version != b"1.0":
        found = "missing" if version is None else ascii(bytes(version[:40]))
        raise UnusableRecordError(f"header ce_specversion: {found}, CloudEvents '1.0' in binary mode is read")
    event_id, source, kind = raw.get("ce_id"), raw.get("ce_source"), raw.get("ce_type")
    if not event_id or not source or not kind:
        missing = next(name for name in ("ce_id", "ce_source", "ce_type") if not raw.get(name))
        raise UnusableRecordError(f"header {missing}: missing")
    time, subject, correlation_id = raw.get("ce_time"), raw.get("ce_subject"), raw.get("ce_correlationid")
    return Envelope(
        _text("ce_id", event_id),
        _repeated_text("ce_source", source),
        _repeated_text("ce_type", kind),
        _received_at(record.timestamp_ms) if time is None else _read_time(time),
        None if subject is None else _text("ce_subject", subject),
        None if correlation_id is None else _text("ce_correlationid", correlation_id),
    )


def _text(name: str, value: bytes) -> str:
    if len(value) > MAX_ATTRIBUTE_BYTES:
        raise UnusableRecordError(f"header {name}: {len(value)} bytes, at most {MAX_ATTRIBUTE_BYTES} are read")
    if b"\x00" in value:
        raise UnusableRecordError(f"header {name}: holds a NUL character")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnusableRecordError(f"header {name}: not UTF-8") from None


# A few sources and types make up millions of records; what is refused is not kept.
_repeated_text = lru_cache(maxsize=1024)(_text)


def _read_time(value: bytes) -> datetime:
    try:
        time = datetime.fromisoformat(value.decode())
    except ValueError:
        raise UnusableRecordError(f"header ce_time: {value[:40]!a} is not an RFC 3339 time") from None
    if time.tzinfo is UTC:
        return time
    if time.tzinfo is None:
        raise UnusableRecordError(f"header ce_time: {value!a} has no offset")
    return time.astimezone(UTC)


def _received_at(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(max(timestamp_ms, 0) // 1000, UTC).replace(microsecond=timestamp_ms % 1000 * 1000)


def inbox_id(event_id: str) -> str:
    """The event id as the inbox keeps it, the text of 16 bytes: a UUID as it is, anything else by its SHA-256."""
    if len(event_id) == _UUID_CHARACTERS and _UUID.fullmatch(event_id):
        return event_id
    return hashlib.sha256(event_id.encode()).hexdigest()[:32]
