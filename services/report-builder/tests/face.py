"""The report builder's HTTP face with a worker behind it; a token is its own name."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from report_builder.artifacts.service import open_store
from report_builder.downloads.api import downloads_router
from report_builder.downloads.service import Downloads
from report_builder.reports.api import reports_router
from report_builder.reports.service import ReportService
from report_builder.reports.worker import ReportWorker
from report_builder.schedules.api import schedules_router
from report_builder.schedules.service import Schedules
from report_builder.settings import ObjectStoreSettings
from report_builder.webhooks.api import webhooks_router
from report_builder.webhooks.model import Webhook
from report_builder.webhooks.service import Webhooks
from tallyport.access.tokens import Principal, TokenStore
from tallyport.clock import Clock
from tallyport.observability.http import service_app
from tallyport_local.testing import ServiceDatabase

KEY = b"0123456789abcdef0123456789abcdef"


class Healthy:
    """Nothing to complain of."""

    async def reasons_not_ready(self) -> list[str]:
        return []

    async def status(self) -> dict[str, Any]:
        return {}


@asynccontextmanager
async def face(
    *,
    principals: Iterable[Principal],
    pool: asyncpg.Pool[asyncpg.Record],
    units_of_work: Any,
    database: ServiceDatabase,
    objects: ObjectStoreSettings,
    clock: Clock,
    webhooks: Sequence[Webhook] = (),
) -> AsyncIterator[httpx.AsyncClient]:
    """Everything runs while the block does."""
    tokens = TokenStore({hashlib.sha256(one.name.encode()).hexdigest(): one for one in principals})
    hooks = Webhooks(webhooks, pool=pool, clock=clock, keep_days=90)
    service = ReportService(
        pool,
        units_of_work,
        on_request=lambda: worker.wake(),  # noqa: PLW0108 - made below
        webhooks=hooks,
    )
    worker = ReportWorker(pool=pool, service=service, database=database.runtime, objects=objects, max_attempts=3)
    app: FastAPI = service_app("report-builder", tokens=tokens, registry=CollectorRegistry(), health=Healthy())
    app.include_router(reports_router(service, units_of_work))
    store = open_store(objects.url, objects.options())
    app.include_router(
        downloads_router(Downloads(pool=pool, reports=service, objects=store, clock=clock, key=KEY, base_url=""))
    )
    app.include_router(webhooks_router(hooks, pool))
    schedules = Schedules(pool=pool, units_of_work=units_of_work, reports=service, clock=clock)
    app.include_router(schedules_router(schedules, units_of_work))
    app.state.schedules = schedules
    tasks = [asyncio.create_task(worker.run()), asyncio.create_task(hooks.run())]
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            yield client
    finally:
        worker.stop()
        hooks.stop()
        await asyncio.gather(*tasks)


def as_(name: str) -> dict[str, str]:
    """The headers of a token."""
    return {"Authorization": f"Bearer {name}"}


async def ask(http: httpx.AsyncClient, who: str, **wanted: Any) -> httpx.Response:
    """Ask for a .csv, unless ``wanted`` says something else."""
    return await http.post("/v1/reports", json={"format": "csv", **wanted}, headers=as_(who))


async def made(http: httpx.AsyncClient, who: str, **wanted: Any) -> dict[str, Any]:
    """Ask, and wait until it is finished."""
    answer = await ask(http, who, **wanted)
    assert answer.status_code == 202, answer.text
    report: dict[str, Any] = answer.json()
    async with asyncio.timeout(30):
        while report["state"] not in ("ready", "failed"):
            report = (await http.get(f"/v1/reports/{report['report_id']}", headers=as_(who))).json()
    return report
