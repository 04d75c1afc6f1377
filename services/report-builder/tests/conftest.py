from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from builder_process import TOKEN
from face import face
from report_builder.settings import ObjectStoreSettings
from report_builder.warehouse import service
from report_builder.warehouse.stream import ChunkLoader
from tallyport.batch_hash import ChunkFact, batch_sha256
from tallyport.clock import FixedClock
from tallyport.contracts.billing import LINE_COLUMNS, BatchChunk, TransferState
from tallyport.messaging.record import Record
from tallyport.messaging.unit_of_work import UnitOfWork, unit_of_work
from tallyport.settings import KafkaSettings
from tallyport_local.testing import Connect, ServiceDatabase

UnitsOfWork = Callable[[str], AbstractAsyncContextManager[UnitOfWork]]
Rows = Sequence[Sequence[str | None]]


def line(**changed: str | None) -> list[str | None]:
    values: dict[str, str | None] = {
        "customer_id": "c-1", "service": "HE", "plan_type": "user_plan", "unit": "he-user", "object_id": "o-1",
        "plan": "HE-GOLD", "kind": "line", "corrects": None, "description": "Jörg Ünsal", "name": "Gold",
        "stock_code": "HE-G", "unit_code": "HE-MB", "quantity": "1024.50", "sales_price": "0.0015",
        "cost_price": "0.0010", "total": "1.54", "currency": "EUR", "flags": "",
        "quantity_source": "status:Provisioned", "price_source": "plan", "level_prices": "", "level_totals": "",
        "cost_total": "1.02",
    }  # fmt: skip
    assert tuple(values) == LINE_COLUMNS
    return list({**values, **changed}.values())


@dataclass
class MadeBatch:
    """A batch as the engine publishes it: records of chunks and the word that it is published."""

    day: date
    revision: int = 1
    previous: MadeBatch | None = None
    facts: list[ChunkFact] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    totals: dict[str, Decimal] = field(default_factory=dict)

    def chunk(self, kind: Any, rows: Rows, *, claimed_sha256: str | None = None) -> Record:
        body = ",".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows).encode()
        sha256 = claimed_sha256 or hashlib.sha256(body).hexdigest()
        self.facts.append(ChunkFact(len(self.facts) + 1, kind, len(rows), sha256))
        record = self.record(len(self.facts), kind, sha256, body)
        self.records.append(record)
        if kind == "lines":
            for row in rows:
                currency, total = row[16], row[15]
                assert currency
                assert total
                self.totals[currency] = self.totals.get(currency, Decimal(0)) + Decimal(total)
        return record

    def record(self, sequence: int, kind: str, sha256: str, body: bytes) -> Record:
        head = {
            "batch_date": self.day.isoformat(),
            "revision": self.revision,
            "sequence": sequence,
            "kind": kind,
            "sha256": sha256,
        }
        value = json.dumps(head)[:-1].encode() + b',"rows":[' + body + b"]}"
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", f"{self.day}/{self.revision}/{sequence}".encode()),
            ("ce_source", b"/tallyport/billing-engine"),
            ("ce_type", BatchChunk.TYPE.encode()),
        )
        return Record("billing.quantities", 0, sequence, b"k", value, headers, 0)

    @property
    def sha256(self) -> str:
        return batch_sha256(self.day, self.revision, self.previous.sha256 if self.previous else None, self.facts)

    def published(self, **changed: Any) -> TransferState:
        state = {
            "batch_date": self.day,
            "revision": self.revision,
            "state": "published",
            "chunks": len(self.facts),
            "lines": sum(fact.row_count for fact in self.facts if fact.kind == "lines"),
            "sha256": self.sha256,
            "totals": self.totals,
            "completeness": {"sources_missing": []},
        }
        if self.previous:
            state |= {
                "previous_date": self.previous.day,
                "previous_revision": self.previous.revision,
                "previous_sha256": self.previous.sha256,
            }
        return TransferState(**{**state, **changed})


class Warehouse:
    """What a test does with the warehouse, each in a unit of work of its own; returns the unit of work."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], units_of_work: UnitsOfWork) -> None:
        self.pool = pool
        self.units_of_work = units_of_work
        self._loader = ChunkLoader()

    async def load(self, *records: Record) -> UnitOfWork:
        async with self.units_of_work("report-builder.quantities") as uow:
            await self._loader.apply(uow, self._loader.read(records, uow.reject))
        return uow

    async def publish(self, state: TransferState) -> TransferState | None:
        """Returns the warehouse's answer, if it gave one."""
        async with self.units_of_work("report-builder.transfers") as uow:
            await service.published(uow, state)
        return said(uow)

    async def fail(self, state: TransferState) -> None:
        """The engine gives the batch up."""
        async with self.units_of_work("report-builder.transfers") as uow:
            await service.abandoned(uow, state)

    async def keep(self, made: MadeBatch) -> None:
        """Load the whole batch."""
        await self.load(*made.records)
        answer = await self.publish(made.published())
        assert answer is not None
        assert answer.state == "loaded", answer.reason


def said(uow: UnitOfWork) -> TransferState | None:
    """What a unit of work published on ``warehouse.transfers``."""
    values = [value for topic, _, value, _, _ in uow._outbox if topic == "warehouse.transfers"]  # noqa: SLF001
    return TransferState.read(values[-1] or b"") if values else None


@pytest.fixture(scope="session")
def make_line() -> Callable[..., list[str | None]]:
    return line


@pytest.fixture(scope="session")
def make_batch() -> type[MadeBatch]:
    return MadeBatch


@pytest.fixture
def answer_of() -> Callable[[UnitOfWork], TransferState | None]:
    return said


@pytest.fixture(scope="module")
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 22, 6, 30, tzinfo=UTC))


Connected = tuple[ServiceDatabase, "asyncpg.Pool[asyncpg.Record]"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def connected(connect: Connect) -> Connected:
    return await connect("report_builder")


@pytest.fixture(scope="module")
def report_database(connected: Connected) -> ServiceDatabase:
    return connected[0]


@pytest.fixture(scope="module")
def pool(connected: Connected) -> asyncpg.Pool[asyncpg.Record]:
    return connected[1]


@pytest.fixture(scope="module")
def units_of_work(pool: asyncpg.Pool[asyncpg.Record], clock: FixedClock) -> UnitsOfWork:
    return lambda consumer: unit_of_work(pool, service="report-builder", consumer=consumer, clock=clock)


@pytest.fixture(scope="module")
def warehouse(pool: asyncpg.Pool[asyncpg.Record], units_of_work: UnitsOfWork) -> Warehouse:
    return Warehouse(pool, units_of_work)


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStoreSettings:
    return ObjectStoreSettings(url=(tmp_path / "objects").as_uri())


@pytest.fixture
def shown(
    pool: asyncpg.Pool[asyncpg.Record],
    units_of_work: UnitsOfWork,
    report_database: ServiceDatabase,
    objects: ObjectStoreSettings,
) -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """The HTTP face for some principals at the time of some clock."""
    return partial(face, pool=pool, units_of_work=units_of_work, database=report_database, objects=objects)


@pytest.fixture
def environment(tmp_path: Path, kafka: KafkaSettings, report_database: ServiceDatabase) -> dict[str, str]:
    """What the service as a process is told; it knows one token."""
    tokens = tmp_path / "tokens.json"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    tokens.write_text(json.dumps([{"name": "test", "sha256": digest, "roles": ["provider_administrator"]}]))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "PATH": os.environ["PATH"],
        "TALLYPORT_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TALLYPORT_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "TALLYPORT_DATABASE__DSN": report_database.runtime.dsn,
        "TALLYPORT_DATABASE__PASSWORD": report_database.runtime.secret() or "",
        "TALLYPORT_HTTP__PORT": str(port),
        "TALLYPORT_HTTP__TOKENS_FILE": str(tokens),
        "TALLYPORT_OBJECT_STORE__URL": (tmp_path / "objects").as_uri(),
    }
