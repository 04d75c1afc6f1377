"""CloudEvents 1.0 in Kafka's binary content mode: attributes are ``ce_*`` headers, the value is the data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from tallyport.messaging.record import Record, UnusableRecordError

MAX_ATTRIBUTE_BYTES = 1024
SOURCE_PREFIX = "/tallyport/"


@dataclass(frozen=True, slots=True)
class Envelope:
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
    headers: dict[str, str] = {}
    for name, raw in record.headers:
        if len(raw or b"") > MAX_ATTRIBUTE_BYTES and name.startswith("ce_"):
            raise UnusableRecordError(f"header {name}: {len(raw)} bytes, at most {MAX_ATTRIBUTE_BYTES} are read")
        if name.startswith("ce_"):
            try:
                headers[name] = (raw or b"").decode()
            except UnicodeDecodeError:
                raise UnusableRecordError(f"header {name}: not UTF-8") from None
    if headers.get("ce_specversion") != "1.0":
        found = headers.get("ce_specversion", "missing")
        raise UnusableRecordError(f"header ce_specversion: {found!r}, CloudEvents '1.0' in binary mode is read")
    for name in ("ce_id", "ce_source", "ce_type"):
        if not headers.get(name):
            raise UnusableRecordError(f"header {name}: missing")
        if "\x00" in headers[name]:
            raise UnusableRecordError(f"header {name}: holds a NUL character")
    return Envelope(
        id=headers["ce_id"],
        source=headers["ce_source"],
        type=headers["ce_type"],
        time=_read_time(headers.get("ce_time"), record.timestamp_ms),
        subject=headers.get("ce_subject"),
        correlation_id=headers.get("ce_correlationid"),
    )


def _read_time(text: str | None, timestamp_ms: int) -> datetime:
    if text is None:
        return datetime.fromtimestamp(max(timestamp_ms, 0) // 1000, UTC).replace(microsecond=timestamp_ms % 1000 * 1000)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UnusableRecordError(f"header ce_time: {text!r} is not an RFC 3339 time") from None
    if time.tzinfo is None:
        raise UnusableRecordError(f"header ce_time: {text!r} has no offset")
    return time.astimezone(UTC)


def inbox_id(event_id: str) -> UUID:
    """The event id as the inbox keeps it, 16 bytes: a UUID as it is, any other text by its SHA-256."""
    if len(event_id) == 36:  # noqa: PLR2004 - the length of a UUID's text
        try:
            return UUID(event_id)
        except ValueError:
            pass
    return UUID(bytes=hashlib.sha256(event_id.encode()).digest()[:16])
