"""The notifier, built and wired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from tallyport.access.tokens import TokenStore
from tallyport.clock import Clock, SystemClock
from tallyport.messaging.runtime import MessagingRuntime
from tallyport.observability.http import serve, service_app
from tallyport.postgres.migrations import Migration, read_migrations
from tallyport.postgres.pool import DATABASE_ERRORS, open_pool

from notifier.actions.answers_api import answer_router, bound_router
from notifier.actions.api import gate_router
from notifier.actions.service import Gate
from notifier.actions.settings_api import settings_router
from notifier.actions.stream import gate_subscriptions
from notifier.audit.api import audit_router
from notifier.confirmations import service as confirmations
from notifier.confirmations.api import confirmations_router
from notifier.confirmations.origins import AllowedOrigins
from notifier.messages.api import messages_router
from notifier.messages.service import Messages
from notifier.prices.stream import price_subscriptions
from notifier.reconciliation.api import reconciliation_router
from notifier.reconciliation.service import on_directory
from notifier.settings import NotifierSettings

SERVICE = "notifier"
EXPIRY_SECONDS = 5.0

log = structlog.get_logger()


def migrations() -> list[Migration]:
    """The notifier's tables, after those of the messaging core."""
    return [*read_migrations("messaging", "tallyport.messaging"), *read_migrations(SERVICE, "notifier")]


class Notifier:
    """The running parts."""

    def __init__(
        self,
        settings: NotifierSettings,
        pool: asyncpg.Pool[asyncpg.Record],
        registry: CollectorRegistry,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.settings = settings.gate
        self.messages = Messages(settings.gate.default_language)
        self.messaging = MessagingRuntime(
            service=SERVICE,
            kafka=settings.kafka,
            database=settings.database,
            pool=pool,
            clock=self.clock,
            registry=registry,
        )
        self.gate = Gate(
            valid_minutes=settings.gate.valid_minutes, messages=self.messages, staff_roles=settings.gate.staff_roles
        )
        sources = self.messaging.sources
        self.messaging.subscribe(
            [*price_subscriptions(sources, also=on_directory), *gate_subscriptions(self.gate, sources)]
        )

    async def reasons_not_ready(self) -> list[str]:
        """Why the notifier should get no work."""
        return await self.messaging.reasons_not_ready()

    async def status(self) -> dict[str, Any]:
        """Consumers and outbox."""
        return await self.messaging.status()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything runs while the block does."""
        async with self.messaging:
            task = asyncio.create_task(self._expire_for_ever(), name="expiry")
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _expire_for_ever(self) -> None:
        while True:
            try:
                async with self.messaging.unit_of_work("expiry") as uow:
                    await self.gate.expire(uow)
                    await confirmations.forget(uow)
            except DATABASE_ERRORS as error:
                log.warning("expiry_postponed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(EXPIRY_SECONDS)


def application(
    notifier: Notifier, pool: asyncpg.Pool[asyncpg.Record], tokens: TokenStore, registry: CollectorRegistry
) -> FastAPI:
    """The HTTP face."""
    app = service_app(SERVICE, tokens=tokens, registry=registry, health=notifier, lifespan=notifier.running)
    unit_of_work = notifier.messaging.unit_of_work
    app.include_router(gate_router(pool, unit_of_work, notifier.gate))
    app.include_router(settings_router(pool, unit_of_work, notifier.clock))
    app.include_router(answer_router(unit_of_work, notifier.gate, notifier.settings.answers_per_minute))
    app.include_router(bound_router(pool, unit_of_work, notifier.gate))
    app.include_router(confirmations_router(pool))
    app.include_router(messages_router(pool, unit_of_work, notifier.messages, notifier.clock))
    app.include_router(audit_router(pool))
    app.include_router(reconciliation_router(pool, notifier.clock))
    app.add_middleware(AllowedOrigins, origins=notifier.settings.origins)
    return app


async def run(settings: NotifierSettings) -> None:
    """Serve until told to stop."""
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.database, SERVICE)
        stack.push_async_callback(pool.close)
        tokens = TokenStore.from_file(settings.http.tokens_file)
        notifier = Notifier(settings, pool, registry)
        await serve(application(notifier, pool, tokens, registry), settings.http)
