"""The report builder, built and wired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from tallyport.access.tokens import TokenStore
from tallyport.clock import SystemClock
from tallyport.messaging.runtime import MessagingRuntime
from tallyport.observability.http import serve, service_app
from tallyport.postgres.migrations import Migration, read_migrations
from tallyport.postgres.pool import open_pool

from report_builder.artifacts.service import open_store
from report_builder.downloads.api import downloads_router
from report_builder.downloads.service import Downloads
from report_builder.reports import store as report_store
from report_builder.reports.api import reports_router
from report_builder.reports.retention import Retention
from report_builder.reports.service import ReportService
from report_builder.reports.stream import reports_subscription
from report_builder.reports.worker import ReportWorker
from report_builder.schedules.api import schedules_router
from report_builder.schedules.service import Schedules
from report_builder.schedules.stream import collection_subscription
from report_builder.settings import ReportBuilderSettings
from report_builder.warehouse import store as warehouse_store
from report_builder.warehouse.api import warehouse_router
from report_builder.warehouse.stream import warehouse_subscriptions
from report_builder.webhooks.api import webhooks_router
from report_builder.webhooks.model import read_webhooks
from report_builder.webhooks.service import Webhooks

SERVICE = "report-builder"


def migrations() -> list[Migration]:
    """The report builder's tables, after those of the messaging core."""
    return [*read_migrations("messaging", "tallyport.messaging"), *read_migrations(SERVICE, "report_builder")]


class ReportBuilder:
    """The running parts, and what the health and status endpoints ask of them."""

    def __init__(
        self, settings: ReportBuilderSettings, pool: asyncpg.Pool[asyncpg.Record], registry: CollectorRegistry
    ) -> None:
        self._pool = pool
        self._loops = settings.reports.concurrent_renders
        clock = SystemClock()
        self.objects = open_store(settings.object_store.url, settings.object_store.options())
        self.messaging = MessagingRuntime(
            service=SERVICE,
            kafka=settings.kafka,
            database=settings.database,
            pool=pool,
            clock=clock,
            registry=registry,
        )
        self.webhooks = Webhooks(
            read_webhooks(settings.webhooks.file), pool=pool, clock=clock, keep_days=settings.webhooks.keep_days
        )
        self.reports = ReportService(pool, self.messaging.unit_of_work, on_request=self._wake, webhooks=self.webhooks)
        self.worker = ReportWorker(
            pool=pool,
            service=self.reports,
            database=settings.database,
            objects=settings.object_store,
            max_attempts=settings.reports.max_attempts,
        )
        self.downloads = Downloads(
            pool=pool,
            reports=self.reports,
            objects=self.objects,
            clock=clock,
            key=settings.links.key(),
            base_url=settings.links.public_url,
        )
        self._retention = Retention(
            pool=pool,
            objects=self.objects,
            clock=clock,
            days=settings.reports.keep_days,
            days_by_kind=settings.reports.keep_days_by_kind,
        )
        self.schedules = Schedules(
            pool=pool, units_of_work=self.messaging.unit_of_work, reports=self.reports, clock=clock
        )
        sources = self.messaging.sources
        self.messaging.subscribe(
            [
                *warehouse_subscriptions(sources),
                reports_subscription(self.reports, sources),
                collection_subscription(self.schedules, sources),
            ]
        )

    def _wake(self) -> None:
        self.worker.wake()

    async def reasons_not_ready(self) -> list[str]:
        """Why the service should get no work."""
        return await self.messaging.reasons_not_ready()

    async def status(self) -> dict[str, Any]:
        """Consumers, outbox, open reports and batches that are not whole."""
        async with self._pool.acquire() as connection:
            session: Any = connection
            reports = await report_store.count_open(session)
            loading = await warehouse_store.loading_batches(session)
        return {**await self.messaging.status(), "reports": reports, "loading_batches": loading}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything runs while the block does."""
        await asyncio.to_thread(self.objects.sweep)
        async with self.messaging:
            tasks = [asyncio.create_task(self.worker.run(), name=f"reports-{n}") for n in range(self._loops)]
            tasks.append(asyncio.create_task(self.webhooks.run(), name="webhooks"))
            tasks.append(asyncio.create_task(self.schedules.run(), name="schedules"))
            retention = asyncio.create_task(self._retention.run(), name="retention")
            try:
                yield
            finally:
                retention.cancel()
                self.worker.stop()
                self.webhooks.stop()
                self.schedules.stop()
                _, late = await asyncio.wait(tasks, timeout=5)
                for task in late:
                    task.cancel()


def application(
    builder: ReportBuilder, pool: asyncpg.Pool[asyncpg.Record], tokens: TokenStore, registry: CollectorRegistry
) -> FastAPI:
    """The HTTP face."""
    app = service_app(SERVICE, tokens=tokens, registry=registry, health=builder, lifespan=builder.running)
    app.include_router(warehouse_router(pool))
    app.include_router(reports_router(builder.reports, builder.messaging.unit_of_work))
    app.include_router(downloads_router(builder.downloads))
    app.include_router(webhooks_router(builder.webhooks, pool))
    app.include_router(schedules_router(builder.schedules, builder.messaging.unit_of_work))
    return app


async def run(settings: ReportBuilderSettings) -> None:
    """Serve until told to stop."""
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.database, SERVICE)
        stack.push_async_callback(pool.close)
        tokens = TokenStore.from_file(settings.http.tokens_file)
        builder = ReportBuilder(settings, pool, registry)
        await serve(application(builder, pool, tokens, registry), settings.http)
