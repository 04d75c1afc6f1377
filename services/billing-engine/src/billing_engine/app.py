"""The billing engine, built and wired."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from tallyport.access.tokens import TokenStore
from tallyport.clock import Clock, SystemClock
from tallyport.messaging.runtime import MessagingRuntime
from tallyport.observability.http import serve, service_app
from tallyport.postgres.migrations import Migration, read_migrations
from tallyport.postgres.pool import open_pool

from billing_engine.adjustments.api import adjustments_router
from billing_engine.adjustments.service import AdjustmentService
from billing_engine.audit.api import audit_router
from billing_engine.billing_units.api import billing_units_router
from billing_engine.billing_views.api import billing_views_router
from billing_engine.billing_views.running import ViewRunner
from billing_engine.catalog.api import catalog_router
from billing_engine.catalog.overrides_api import SellingRules, overrides_router, prices_router
from billing_engine.collection.stream import collection_subscription
from billing_engine.directory import store as directory_store
from billing_engine.directory.api import directory_router
from billing_engine.directory.service import DirectoryService
from billing_engine.directory.stream import directory_subscription
from billing_engine.reconciliation.api import reconciliation_router
from billing_engine.settings import BillingSettings, EngineSettings
from billing_engine.transfers.api import batches_router, transfers_router
from billing_engine.transfers.corrections import store as late_store
from billing_engine.transfers.corrections.api import late_usage_router
from billing_engine.transfers.corrections.service import Corrector
from billing_engine.transfers.daily import DailyTransfers, Retention
from billing_engine.transfers.explanations.api import explanations_router
from billing_engine.transfers.publisher import ChunkPublisher
from billing_engine.transfers.runner import TransferRunner
from billing_engine.transfers.service import TransferService
from billing_engine.transfers.stream import transfers_subscription
from billing_engine.usage.service import UsageService
from billing_engine.usage.stream import usage_subscription

SERVICE = "billing-engine"


def migrations() -> list[Migration]:
    """The engine's tables, after those of the messaging core."""
    return [*read_migrations("messaging", "tallyport.messaging"), *read_migrations(SERVICE, "billing_engine")]


class Engine:
    """The running parts, and what the health and status endpoints ask of them."""

    def __init__(
        self, settings: EngineSettings, pool: asyncpg.Pool[asyncpg.Record], registry: CollectorRegistry
    ) -> None:
        clock = SystemClock()
        self.billing = settings.billing
        self._pool = pool
        self.messaging = MessagingRuntime(
            service=SERVICE, kafka=settings.kafka, database=settings.database, pool=pool, clock=clock, registry=registry
        )
        self.usage = UsageService(pool, self.messaging.sources, keep_days=settings.billing.keep_usage_days)
        self.views = ViewRunner(settings.views_database)
        self._corrector = Corrector(
            lateness_days=settings.billing.lateness_days,
            customers_per_range=settings.billing.customers_per_range,
            views=self.views,
        )
        self.runner = TransferRunner(
            pool=pool,
            messaging=self.messaging,
            publisher=ChunkPublisher(settings.kafka),
            usage=self.usage,
            clock=clock,
            views=self.views,
            corrector=self._corrector,
            customers_per_range=settings.billing.customers_per_range,
        )
        self.transfers = TransferService(
            unit_of_work=self.messaging.unit_of_work,
            clock=clock,
            zone=ZoneInfo(settings.billing.time_zone),
            usage_day_offset=settings.billing.usage_day_offset,
            daily_at=settings.billing.daily_at,
            on_begun=self.runner.wake,
        )
        self.adjustments = AdjustmentService(
            self.messaging.unit_of_work, needs_approval=settings.billing.adjustment_approval
        )
        self._chores = self._daily(settings.billing, clock)
        directory = DirectoryService(on_new_objects=self.usage.apply_parked)
        self.messaging.subscribe(
            [
                usage_subscription(self.usage),
                directory_subscription(directory, self.messaging.sources),
                transfers_subscription(self.transfers, self.messaging.sources),
                collection_subscription(self.messaging.sources),
            ]
        )

    def _daily(self, billing: BillingSettings, clock: Clock) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        keep = {
            "usage": billing.keep_usage_days,
            "versions": billing.keep_versions_days,
            "runs": billing.keep_runs_days,
        }
        chores = [Retention(self._pool, clock, **keep, batches=billing.keep_batches_days).run]
        if billing.daily_at is not None:
            daily = DailyTransfers(
                pool=self._pool,
                transfers=self.transfers,
                clock=clock,
                zone=ZoneInfo(billing.time_zone),
                at=billing.daily_at,
                catch_up_days=billing.catch_up_days,
            )
            chores.append(daily.run)
        return chores

    def too_late(self) -> date:
        """The newest date that today's batch does not correct any more."""
        return self._corrector.oldest(self.transfers.today()) - timedelta(days=1)

    async def reasons_not_ready(self) -> list[str]:
        """Why the engine should get no work."""
        return await self.messaging.reasons_not_ready()

    async def status(self) -> dict[str, Any]:
        """Consumers, outbox, what the directory and usage hold, and the late usage that waits for the next batch."""
        async with self._pool.acquire() as connection:
            counts = await directory_store.counts(connection)
            parked = await self.usage.parked_count(connection)
            waiting = await late_store.waiting(connection, self.too_late())
        late = {"waiting": sum(waiting.values()), "batches": len(waiting), "oldest_batch": min(waiting, default=None)}
        return {
            **await self.messaging.status(), "directory": counts, "parked_samples": parked, "late_usage": late,
        }  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything runs while the block does."""
        await self.usage.warm_up()
        # The dictionary of a million objects stays. Collecting less often saves a tenth of the time on the usage path,
        # where one poll makes a hundred thousand short-lived objects and no cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)
        async with self.messaging:
            task = asyncio.create_task(self.runner.run(), name="transfers")
            chores = [asyncio.create_task(chore()) for chore in self._chores]
            try:
                yield
            finally:
                for chore in chores:
                    chore.cancel()
                await asyncio.wait(chores)
                self.runner.stop()
                _, late = await asyncio.wait([task], timeout=5)
                for one in late:
                    one.cancel()
                self.views.close()


def application(
    engine: Engine, pool: asyncpg.Pool[asyncpg.Record], tokens: TokenStore, registry: CollectorRegistry
) -> FastAPI:
    """The HTTP face."""
    app = service_app(SERVICE, tokens=tokens, registry=registry, health=engine, lifespan=engine.running)
    unit_of_work = engine.messaging.unit_of_work
    strict = engine.billing.require_if_match
    rules = SellingRules(lambda: engine.transfers.dates().usage_day, engine.billing.sell_below_cost, strict)
    app.include_router(catalog_router(pool, unit_of_work, require_if_match=strict))
    app.include_router(overrides_router(pool, unit_of_work, rules))
    app.include_router(prices_router(pool))
    app.include_router(
        billing_units_router(pool, unit_of_work, engine.transfers.dates, engine.views, require_if_match=strict)
    )
    app.include_router(billing_views_router(pool, unit_of_work, engine.transfers.dates, engine.views))
    app.include_router(directory_router(pool))
    app.include_router(transfers_router(pool, engine.transfers, engine.too_late))
    app.include_router(batches_router(pool))
    app.include_router(audit_router(pool))
    app.include_router(reconciliation_router(pool, unit_of_work, engine.transfers.dates, engine.transfers.today))
    app.include_router(explanations_router(pool))
    app.include_router(adjustments_router(pool, engine.adjustments))
    app.include_router(late_usage_router(pool, engine.too_late))
    return app


async def run(settings: EngineSettings) -> None:
    """Serve until told to stop."""
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.database, SERVICE)
        stack.push_async_callback(pool.close)
        tokens = TokenStore.from_file(settings.http.tokens_file)
        engine = Engine(settings, pool, registry)
        await serve(application(engine, pool, tokens, registry), settings.http)
