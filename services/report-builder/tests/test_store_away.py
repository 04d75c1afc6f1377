"""Object storage that goes away: reports wait, say so, and are made once when it is back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
from builder_process import DAY, TOKEN, publish, running
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until
from tallyport_local.s3_server import BUCKET, S3Server
from tallyport_local.settings import LocalSettings


async def test_a_report_waits_for_its_store_and_says_so(
    *, environment: dict[str, str], kafka: KafkaSettings, make_batch: Any, make_line: Any, tmp_path: Path,
    stack_settings: LocalSettings,
) -> None:  # fmt: skip
    made = make_batch(DAY)
    made.chunk("organisations", [["c-1", None, "customer", "Müller", None, None, "de", "EUR"]])
    made.chunk("lines", [make_line()])
    (tmp_path / "s3").mkdir()
    async with S3Server(tmp_path / "s3", stack_settings) as server:
        options = tmp_path / "options.json"
        options.write_text(json.dumps(server.options()))
        told = {
            **environment,
            "TALLYPORT_OBJECT_STORE__URL": f"s3://{BUCKET}/reports",
            "TALLYPORT_OBJECT_STORE__OPTIONS_FILE": str(options),
        }
        url = f"http://127.0.0.1:{environment['TALLYPORT_HTTP__PORT']}"
        async with running(told), httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            await publish(kafka, made)

            async def is_loaded() -> bool:
                try:
                    return [one["state"] for one in (await http.get("/v1/batches")).json()] == ["loaded"]
                except httpx.HTTPError:
                    return False

            await until(is_loaded, seconds=90, what="the batch")
            await server.kill()
            wanted = {"report_id": "patient", "format": "csv", "from_date": str(DAY)}
            report = (await http.post("/v1/reports", json=wanted)).json()

            async def waits() -> bool:
                report.update((await http.get("/v1/reports/patient")).json())
                return bool(report["reason"])

            await until(waits, seconds=60, what="a report that says why it waits")
            assert report["state"] == "rendering"
            assert report["reason"].startswith("waits, because something is away: ")
            await server.start()

            async def is_ready() -> bool:
                report.update((await http.get("/v1/reports/patient")).json())
                return report["state"] == "ready"

            await until(is_ready, seconds=60, what="the report")
            body = (await http.get("/v1/reports/patient/parts/1")).content
    assert hashlib.sha256(body).hexdigest() == report["parts"][0]["sha256"]
    assert report["reason"] is None
    kept = [file.name for file in (tmp_path / "s3" / "data").rglob("*") if file.is_file()]
    name = report["parts"][0]["name"]
    assert sorted(kept) == ["SHA256SUMS", name.replace(".csv", ".completeness.csv"), name, "manifest.json"]
