"""Connections to the service's own database."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog

from tallyport.settings import DatabaseSettings

log = structlog.get_logger()

TRANSIENT_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)
"""The database is away, busy or restarting: the same work may succeed later."""

DATABASE_ERRORS: tuple[type[BaseException], ...] = (*TRANSIENT_ERRORS, asyncpg.PostgresError)
"""Whatever the database answers or fails to answer; for work that reports and goes on."""


def connect_arguments(settings: DatabaseSettings, application_name: str) -> dict[str, Any]:
    """What asyncpg needs to connect as the service, with the timeouts that keep one bad query from holding it."""
    return {
        "dsn": settings.dsn,
        "password": settings.secret(),
        "timeout": 10,
        # The statements that compute lines are longer than the driver keeps; to read them anew takes milliseconds.
        "max_cacheable_statement_size": 65_536,
        "server_settings": {
            "application_name": application_name,
            "statement_timeout": f"{settings.statement_timeout_seconds}s",
            "lock_timeout": f"{settings.lock_timeout_seconds}s",
            "idle_in_transaction_session_timeout": "300s",
            "timezone": "UTC",
            # A prepared statement's generic plan is chosen at its sixth run and can double the time of a wide query.
            "plan_cache_mode": "force_custom_plan",
        },
    }


async def open_pool(settings: DatabaseSettings, application_name: str) -> asyncpg.Pool[asyncpg.Record]:
    """Open the pool, waiting with backoff for a database that is still starting.

    Raises:
        asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError: settings that waiting cannot mend.
    """
    delay_seconds = 0.1
    while True:
        try:
            return await asyncpg.create_pool(
                min_size=1,
                max_size=settings.pool_size,
                max_inactive_connection_lifetime=300,
                **connect_arguments(settings, application_name),
            )
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError):
            raise
        except TRANSIENT_ERRORS as error:
            log.warning("database_away", error=str(error), retry_in_seconds=delay_seconds)
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(delay_seconds * 2, 5)
