"""One id from the caller's request, or from the event, to log lines and to what is published."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import httpx
import pytest
import structlog
from fastapi import FastAPI
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from tallyport.clock import SystemClock
from tallyport.contracts.billing import TransferState, transfer_correlation
from tallyport.correlation import correlated, current_correlation
from tallyport.messaging.envelope import Envelope
from tallyport.messaging.record import Record
from tallyport.messaging.unit_of_work import unit_of_work
from tallyport.rest.correlating import HEADER, Correlating
from tallyport_local.testing import Connect

log = structlog.get_logger()


def _face() -> httpx.AsyncClient:
    app = FastAPI()
    app.add_middleware(Correlating)

    @app.get("/")
    async def show() -> str | None:
        log.info("shown")
        return current_correlation()

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize("said", ["order-17", "transfer-2026-03-29-r1", "a/b:c.d_e"])
async def test_a_callers_id_is_bound_logged_and_answered(said: str) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        async with _face() as client:
            answer = await client.get("/", headers={HEADER: said})
    assert answer.headers[HEADER] == answer.json() == said
    assert [line["correlation_id"] for line in lines] == [said]
    assert current_correlation() is None


@pytest.mark.parametrize("said", [None, "", "two words", 'x"} {"level":"error', "x" * 201])
async def test_an_id_that_is_missing_or_unfit_is_replaced(said: str | None) -> None:
    async with _face() as client:
        first, second = [await client.get("/", headers={} if said is None else {HEADER: said}) for _ in range(2)]
    assert first.headers[HEADER] == first.json() != said
    assert first.headers[HEADER] != second.headers[HEADER]


async def test_what_is_published_meanwhile_belongs_to_it_unless_it_says_otherwise(connect: Connect) -> None:
    pool: asyncpg.Pool[asyncpg.Record] = (await connect("notifier"))[1]
    state = TransferState(batch_date=datetime(2026, 3, 29, tzinfo=UTC).date(), revision=1, state="started")
    with correlated("order-17"):
        async with unit_of_work(pool, service="test", consumer="test", clock=SystemClock()) as uow:
            uow.publish("warehouse.transfers", key="mine", data=state)
            uow.publish("warehouse.transfers", key="its own", data=state, correlation_id="other")
    rows = await pool.fetch(
        "SELECT key, header_names, header_values FROM outbox WHERE key = ANY ($1::bytea[])", [b"mine", b"its own"]
    )
    found = {
        row["key"].decode(): dict(zip(row["header_names"], row["header_values"], strict=True))["ce_correlationid"]
        for row in rows
    }
    assert found == {"mine": b"order-17", "its own": b"other"}


def test_a_record_that_cannot_be_used_still_says_what_it_belongs_to() -> None:
    envelope = Envelope("e-1", "/test", "no.such.type", datetime.now(UTC), correlation_id="order-17")

    def record(*headers: tuple[str, bytes]) -> Record:
        return Record("usage.samples", 2, 7, None, b"{", headers, 0)

    assert record(*envelope.headers()).correlation_id == "order-17"
    assert record(("ce_id", b"e-1")).correlation_id == "e-1"
    assert record(("ce_id", b"\xff")).correlation_id == "\ufffd"
    assert record().correlation_id is None
    assert record().place == "usage.samples:2:7"


def test_a_transfers_own_id() -> None:
    assert transfer_correlation(datetime(2026, 3, 29, tzinfo=UTC).date(), 2) == "transfer-2026-03-29-r2"
