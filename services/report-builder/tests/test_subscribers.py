"""The examples of billing systems, as processes of their own beside the service: on Kafka, and by webhook."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from builder_process import DAY, TOKEN, publish, running
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until

EXAMPLES = Path(__file__).parents[3] / "examples" / "subscribers"
SECRET = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


@asynccontextmanager
async def program(*argv: str, env: dict[str, str] | None = None) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*argv, env={"PATH": os.environ["PATH"], **(env or {})})
    try:
        yield
        assert process.returncode is None, "the subscriber ended"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def ask_for_a_report(kafka: KafkaSettings, url: str, made: Any, report_id: str) -> dict[str, Any]:
    """Load a batch, ask for its customer detail, wait until it is ready."""
    await publish(kafka, made)
    found: dict[str, Any] = {}
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:

        async def is_ready() -> bool:
            try:
                if [one["state"] for one in (await client.get("/v1/batches")).json()] == ["loaded"]:
                    wanted = {"report_id": report_id, "format": "csv", "from_date": str(DAY)}
                    found.update((await client.post("/v1/reports", json=wanted)).json())
            except httpx.HTTPError:
                return False
            return found.get("state") == "ready"

        await until(is_ready, seconds=90, what="the report")
    return found


@pytest.fixture
def made(make_batch: Any, make_line: Any) -> Any:
    batch = make_batch(DAY)
    batch.chunk("organisations", [["c-1", None, "customer", "Müller & Söhne", None, None, "de", "EUR"]])
    batch.chunk("lines", [make_line(object_id=f"o-{n}", total="0.10") for n in range(30)])
    return batch


async def test_on_kafka_a_report_is_fetched_checked_and_imported_once(
    *, environment: dict[str, str], kafka: KafkaSettings, made: Any, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{environment['TALLYPORT_HTTP__PORT']}"
    token, into = tmp_path / "token", tmp_path / "lines.sqlite"
    token.write_text(TOKEN)
    options = ["--kafka", kafka.bootstrap_servers, "--topic-prefix", kafka.topic_prefix, "--reports", url]
    argv = [sys.executable, str(EXAMPLES / "subscriber.py"), *options, "--token-file", str(token), "--into", str(into)]

    def imported() -> list[tuple[int, str]]:
        if not into.exists():
            return []
        with sqlite3.connect(into) as database:
            try:
                return database.execute("SELECT count(*), group_concat(DISTINCT report_id) FROM line").fetchall()
            except sqlite3.OperationalError:  # it is about to make its tables
                return []

    async def has_lines() -> bool:
        return imported() == [(30, "for-erp")]

    async with running(environment), program(*argv):
        await ask_for_a_report(kafka, url, made, "for-erp")
        await until(has_lines, seconds=60, what="the import")
    assert imported() == [(30, "for-erp")]


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
async def test_by_webhook_a_report_is_fetched_checked_and_kept(
    *, environment: dict[str, str], kafka: KafkaSettings, made: Any, tmp_path: Path
) -> None:
    port, url = free_port(), f"http://127.0.0.1:{environment['TALLYPORT_HTTP__PORT']}"
    (tmp_path / "secret").write_text(SECRET)
    hook = {"name": "erp", "url": f"http://127.0.0.1:{port}/", "secret_file": "secret"}
    (tmp_path / "webhooks.json").write_text(json.dumps([hook]))
    inbox = tmp_path / "inbox"
    argv = ["node", str(EXAMPLES / "receiver.mjs"), "--port", str(port), "--reports", url, "--into", str(inbox)]
    service = {**environment, "TALLYPORT_WEBHOOKS__FILE": str(tmp_path / "webhooks.json")}
    async with running(service), program(*argv, env={"WEBHOOK_SECRET": SECRET, "TALLYPORT_TOKEN": TOKEN}):

        async def forged_is_refused() -> bool:
            headers = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
            try:
                async with httpx.AsyncClient() as client:
                    answer = await client.post(f"http://127.0.0.1:{port}/", content=b"{}", headers=headers)
            except httpx.HTTPError:
                return False
            return answer.status_code == 401

        await until(forged_is_refused, seconds=30, what="the receiver")
        report = await ask_for_a_report(kafka, url, made, "for-hook")
        kept = inbox / f"for-hook-{report['parts'][0]['name']}"

        async def is_there() -> bool:
            return kept.exists()

        await until(is_there, seconds=60, what="the artifact")
        assert kept.stat().st_size == report["parts"][0]["size"]
