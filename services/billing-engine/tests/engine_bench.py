"""A running engine, and the few verbs its tests speak."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer
from billing_engine.app import Engine
from billing_engine.billing_units import service as schema_service
from billing_engine.catalog import service as catalog_service
from tallyport.contracts.base import Contract
from tallyport.contracts.billing import LINE_COLUMNS
from tallyport.contracts.catalog import CatalogDocument
from tallyport.contracts.directory import DIRECTORY_TYPE
from tallyport.contracts.usage import UsageChunk
from tallyport.messaging.envelope import Envelope, new_event_id
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until
from tallyport_local.testing import ServiceDatabase


@dataclass
class Bench:
    """A running engine with its database and its broker."""

    engine: Engine
    pool: asyncpg.Pool[asyncpg.Record]
    kafka: KafkaSettings
    client: AIOKafkaProducer
    made: ServiceDatabase | None = None

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: str,
        type_: str,
        event_id: str | None = None,
        source: str = "/test",
    ) -> None:
        """Produce one record, as any other program would."""
        envelope = Envelope(event_id or new_event_id(), source, type_, datetime.now(UTC))
        headers = list(envelope.headers()) if value is not None else []
        await self.client.send_and_wait(self.kafka.topic(topic), key=key.encode(), value=value, headers=headers)

    async def directory(self, *entities: dict[str, Any]) -> None:
        """Tell of directory entities, in the given order."""
        for entity in entities:
            key = f"{entity['kind']}:{entity['id']}"
            await self.send("directory.changes", json.dumps(entity).encode(), key=key, type_=DIRECTORY_TYPE)

    async def usage(
        self, counter: str, day: date, values: dict[str, str], *, measured_at: datetime, event_id: str | None = None
    ) -> None:
        """Send one chunk of samples."""
        data: Contract = UsageChunk.model_validate(
            {
                "counter": counter,
                "day": day,
                "measured_at": measured_at,
                "object_ids": list(values),
                "values": list(values.values()),
            }
        )
        await self.send("usage.samples", data.write(), key="any", type_=UsageChunk.TYPE, event_id=event_id)

    async def catalog(self, document: dict[str, Any]) -> None:
        """Apply a catalogue and publish every schema in it."""
        async with self.engine.messaging.unit_of_work() as uow:
            await catalog_service.apply(uow, CatalogDocument.model_validate(document))
            for service in document["services"]:
                await schema_service.publish(uow, service["id"], by="test", reason="test")

    async def caught_up(self) -> None:
        """Wait until every consumer has applied what is in its topic."""

        async def done() -> bool:
            progress = await self.engine.messaging.progress()
            return all(one.lag == 0 for one in progress)

        await until(done)

    async def transfer(self, day: date | None = None) -> list[dict[str, Any]]:
        """Run a transfer up to the point where the warehouse must answer; the frozen lines, in order."""
        begun = await self.engine.transfers.begin(day, by="test")

        async def frozen() -> bool:
            row = await self.fetch("SELECT state, step, reason FROM transfer WHERE batch_date = $1 AND revision = $2",
                                   begun.batch_date, begun.revision)  # fmt: skip
            assert row[0]["state"] != "failed", row[0]["reason"]
            return bool(row[0]["step"] == "await-warehouse")

        await until(frozen)
        return await self.lines(begun.batch_date, begun.revision)

    async def lines(self, day: date, revision: int) -> list[dict[str, Any]]:
        """The frozen lines of a revision."""
        chunks = await self.fetch(
            "SELECT rows FROM batch_chunk WHERE batch_date = $1 AND revision = $2 AND kind = 'lines' ORDER BY sequence",
            day,
            revision,
        )
        rows = [row for chunk in chunks for row in json.loads(b"[" + chunk["rows"] + b"]")]
        return [dict(zip(LINE_COLUMNS, row, strict=True)) for row in rows]

    async def fetch(self, query: str, *values: Any) -> Sequence[asyncpg.Record]:
        """Look into the database."""
        async with self.pool.acquire() as connection:
            return await connection.fetch(query, *values)
