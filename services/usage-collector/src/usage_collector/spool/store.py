"""The outbound queue: what was read and is not yet acknowledged by the broker, in order."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tallyport.contracts.base import Contract
from tallyport.messaging.envelope import Envelope, new_event_id
from tallyport.postgres.queries import load_queries

from usage_collector.database import Database

Headers = tuple[tuple[str, bytes], ...]

MAX_BATCH_MESSAGES: Final = 200
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
_QUERIES: Final = load_queries("usage_collector.spool")


@dataclass(frozen=True, slots=True)
class Message:
    """One record as it will stand in Kafka; ``topic`` is without the installation's prefix."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers

    @classmethod
    def of(
        cls,
        topic: str,
        data: Contract,
        *,
        key: str,
        source: str,
        time: datetime,
        event_id: str | None = None,
        correlation_id: str | None = None,
    ) -> Message:
        """An event."""
        envelope = Envelope(event_id or new_event_id(), source, data.TYPE, time, key, correlation_id)
        return cls(topic, key.encode(), data.write(), envelope.headers())


@dataclass(frozen=True, slots=True)
class SpoolState:
    """How much waits, and for how long."""

    records: int
    bytes: int
    oldest_seconds: float


class Spool:
    """The queue in the collector's database. Methods with ``tx`` take part in the caller's transaction."""

    def __init__(self, database: Database, max_bytes: int) -> None:
        self._database = database
        self.max_bytes = max_bytes

    def put(self, tx: sqlite3.Connection, message: Message, at: datetime) -> None:
        """Queue a message."""
        headers = json.dumps([[name, value.decode("latin-1")] for name, value in message.headers])
        size = len(message.key or b"") + len(message.value or b"") + len(headers)
        row = (message.topic, message.key, message.value, headers, size, at.isoformat())
        tx.execute(_QUERIES["put"], row)

    def next_messages(self) -> tuple[int, list[Message]]:
        """The oldest messages, at most 4 MiB of them or a single one; and the number to acknowledge them with."""
        last, total, found = 0, 0, list[Message]()
        with self._database.read() as connection:
            for row in connection.execute(_QUERIES["next_messages"], (MAX_BATCH_MESSAGES,)):
                total += row["bytes"]
                if found and total > MAX_BATCH_BYTES:
                    break
                headers = tuple((name, value.encode("latin-1")) for name, value in json.loads(row["headers"]))
                found.append(Message(row["topic"], row["key"], row["value"], headers))
                last = row["id"]
        return last, found

    def acknowledged(self, last: int) -> None:
        """Forget the messages up to ``last``."""
        with self._database.write() as tx:
            tx.execute(_QUERIES["acknowledged"], (last,))
        self._database.give_back_space()

    def used_bytes(self) -> int:
        """What waits, in bytes."""
        with self._database.read() as connection:
            return int(connection.execute(_QUERIES["total"]).fetchone()["bytes"])

    def state(self, now: datetime) -> SpoolState:
        """What waits, in all measures."""
        with self._database.read() as connection:
            total = connection.execute(_QUERIES["total"]).fetchone()
            oldest = connection.execute(_QUERIES["oldest"]).fetchone()
        age = (now - datetime.fromisoformat(oldest["created_at"])).total_seconds() if oldest else 0.0
        return SpoolState(total["records"], total["bytes"], max(0.0, round(age, 1)))

    def has_room(self, more_bytes: int = 0) -> bool:
        """Whether sources may be read. What alone is larger than the limit waits for an empty spool."""
        used = self.used_bytes()
        return used < self.max_bytes and (used == 0 or used + more_bytes <= self.max_bytes)
