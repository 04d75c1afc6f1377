"""The dialog with a real notifier behind it: asked over HTTP, answered in a browser, decided on Kafka."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from gate_bench import GateBench
from gate_http import Caller, calling
from notifier.app import Notifier
from notifier.settings import GateSettings, NotifierSettings
from panels import Served, panel_of
from prometheus_client import CollectorRegistry
from tallyport.contracts.actions import ActionDecided
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until
from tallyport_local.testing import Connect

pytestmark = pytest.mark.browser


@pytest_asyncio.fixture(loop_scope="session")
async def served() -> AsyncIterator[Served]:
    found = Served()
    panel = ThreadingHTTPServer(("127.0.0.1", 0), panel_of(found))
    found.panel = f"http://127.0.0.1:{panel.server_port}"
    thread = threading.Thread(target=panel.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    panel.shutdown()
    thread.join()
    panel.server_close()


@pytest_asyncio.fixture(loop_scope="session")
async def call(
    served: Served, connect: Connect, kafka: KafkaSettings, sender: AIOKafkaProducer
) -> AsyncIterator[Caller]:
    """A notifier that the panel's page may ask, on a port of its own."""
    made, pool = await connect("notifier")
    told = GateSettings(origins=(served.panel,))
    settings = NotifierSettings.model_construct(kafka=kafka, database=made.runtime, gate=told)
    notifier = Notifier(settings, pool, CollectorRegistry())
    async with notifier.running():
        bench = GateBench(notifier, pool, kafka, sender)
        await bench.provider({"id": "old", "name": "Old & Sons", "imported": True, "language": "de"})
        await bench.tick("create_user")
        async with calling(bench) as caller:
            config = uvicorn.Config(
                caller._client._transport.app,  # type: ignore[attr-defined]  # noqa: SLF001 - the application behind it
                port=0,
                lifespan="off",
                log_level="warning",
            )
            server = uvicorn.Server(config)
            task = asyncio.create_task(server.serve())

            async def is_up() -> bool:
                return server.started

            await until(is_up, what="the notifier's port")
            served.gate = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            yield caller
            server.should_exit = True
            await task


@pytest_asyncio.fixture(loop_scope="session")
async def question(call: Caller, served: Served) -> tuple[str, str]:
    """An open question, its token in the panel's page: the request's id and the confirmation's."""
    confirmation, _sha256 = await call.open("in-a-browser", actor={"id": "asker", "role": "customer_administrator"})
    served.token = await call.token(confirmation)
    return "in-a-browser", confirmation


async def decision_on(kafka: KafkaSettings, request_id: str) -> ActionDecided:
    async with (
        asyncio.timeout(30),
        AIOKafkaConsumer(
            kafka.topic("billable-actions.decided"),
            bootstrap_servers=kafka.bootstrap_servers,
            auto_offset_reset="earliest",
        ) as consumer,
    ):
        async for record in consumer:
            found = ActionDecided.read(record.value)
            if found.request_id == request_id:
                return found
    raise AssertionError(request_id)


async def test_a_customer_confirms_in_the_panel_and_kafka_says_so(
    *, page: Any, served: Served, call: Caller, question: tuple[str, str], kafka: KafkaSettings
) -> None:
    await page.goto(served.panel)
    dialog = page.get_by_role("dialog", name="Bitte bestätigen")
    await dialog.get_by_role("table").wait_for()
    said = await dialog.inner_text()
    assert "Old & Sons" in said
    assert "4,50\u00a0€" in said
    await dialog.get_by_role("button", name="Bestätigen").click()
    await page.get_by_text("Bestätigt. Vielen Dank.").wait_for()
    assert page.complaints == []
    decided = await decision_on(kafka, question[0])
    assert (decided.decision, decided.confirmation_id) == ("allowed", question[1])
    again = await call(served.token, "POST", "/v1/confirmation/answer", json={"answer": "decline"})
    assert again.status_code in {401, 409, 422}


async def test_a_page_of_another_origin_gets_nothing(*, page: Any, served: Served, call: Caller) -> None:
    confirmation, _sha256 = await call.open("elsewhere", actor={"id": "asker", "role": "customer_administrator"})
    token = await call.token(confirmation)
    await page.goto(f"{served.gate}/health/live")
    await page.goto(served.panel.replace("127.0.0.1", "localhost"))
    headers = f"{{headers: {{authorization: 'Bearer {token}'}}}}"
    reads = f"fetch('{served.gate}/v1/confirmation', {headers}).then(() => 1, () => 0)"
    assert await page.evaluate(reads) == 0
