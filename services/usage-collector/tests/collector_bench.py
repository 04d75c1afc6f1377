"""A collector with a folder of its own, and the few verbs its tests speak."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from prometheus_client import CollectorRegistry
from tallyport.clock import Clock, FixedClock
from tallyport.settings import KafkaSettings
from usage_collector.app import UsageCollector
from usage_collector.database import Database
from usage_collector.runs.model import Run
from usage_collector.runs.service import Worker
from usage_collector.runs.store import last_runs
from usage_collector.settings import CollectorSettings, SpoolSettings
from usage_collector.sources.model import CsvSource, Source
from usage_collector.spool.store import Message

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
HEADER = "object_id,counter,day,value\n"
NOWHERE = KafkaSettings(bootstrap_servers="127.0.0.1:1")


@dataclass
class Bench:
    """One data folder; a collector on it can be opened, closed and opened again."""

    root: Path
    kafka: KafkaSettings = NOWHERE
    max_bytes: int = 1024 * 1024 * 1024
    every_seconds: int = 5
    more: list[Source] = field(default_factory=list)
    clock: Clock = field(default_factory=lambda: FixedClock(NOW))

    def __post_init__(self) -> None:
        self.inbox.mkdir(parents=True)
        self.database = Database(self.root / "spool.sqlite")
        self.service = self._service()

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    def _service(self) -> UsageCollector:
        spool = SpoolSettings.model_construct(path=self.root / "spool.sqlite", max_bytes=self.max_bytes)
        settings = CollectorSettings.model_construct(kafka=self.kafka, spool=spool)
        folder = CsvSource(name="files", kind="csv", folder=self.inbox, every_seconds=self.every_seconds)
        return UsageCollector(settings, [folder, *self.more], self.database, CollectorRegistry(), self.clock)

    def restart(self, kafka: KafkaSettings | None = None) -> None:
        """As after a kill: nothing is known but what is in the folder."""
        self.kafka = kafka or self.kafka
        self.database.close()
        self.database = Database(self.root / "spool.sqlite")
        self.service = self._service()

    @property
    def worker(self) -> Worker:
        return self.service.collector.workers["files"]

    def drop(self, name: str, text: str) -> Path:
        """A file that somebody renamed into the folder."""
        hidden = self.inbox / f".{name}"
        hidden.write_text(text, encoding="utf-8")
        return hidden.rename(self.inbox / name)

    async def read(self) -> None:
        """Two looks, whatever the schedule says."""
        for _ in range(2):
            self.worker.schedule.last = None
            await self.worker.step()

    def spooled(self, topic: str = "usage.samples") -> list[Message]:
        return [one for one in self.service.spool.next_messages()[1] if one.topic == topic]

    def runs(self) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            return last_runs(connection, 100)

    def names(self, folder: str) -> list[str]:
        path = self.inbox / folder
        return sorted(one.name for one in path.iterdir()) if path.exists() else []


def new_run(source: str = "files") -> Run:
    return Run("run-1", source, NOW)


def event_id(message: Message) -> str:
    return dict(message.headers)["ce_id"].decode()


@asynccontextmanager
async def reading(kafka: KafkaSettings, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    async with AIOKafkaConsumer(
        kafka.topic(topic), bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        yield consumer


async def read_all(kafka: KafkaSettings, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    """Everything in a topic."""
    found: list[ConsumerRecord[bytes, bytes]] = []
    async with reading(kafka, topic) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
    return found
