"""What the engine does by itself: the day's batch at its time, the missed ones before it, and letting old days go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

import asyncpg
import structlog
from tallyport.clock import Clock
from tallyport.postgres.pool import DATABASE_ERRORS

from billing_engine.collection import service as collection
from billing_engine.transfers import store
from billing_engine.transfers.model import TransferRefusedError
from billing_engine.transfers.schedule import missing, next_due
from billing_engine.transfers.service import TransferService

log = structlog.get_logger()

LOOK_SECONDS: Final = 60.0
RETENTION_SECONDS: Final = 3600.0
SCHEDULER: Final = "schedule"

Kind = Literal["usage", "versions", "batches", "runs"]


class DailyTransfers:
    """Begins what is due, one date at a time and in order: each batch is chained to the one before."""

    def __init__(
        self,
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        transfers: TransferService,
        clock: Clock,
        zone: ZoneInfo,
        at: time,
        catch_up_days: int,
    ) -> None:
        self._pool = pool
        self._transfers = transfers
        self._clock = clock
        self._zone = zone
        self._at = at
        self._catch_up_days = catch_up_days
        self._held_up_by: date | None = None

    async def run(self) -> None:
        """Look every minute, and at the very moment."""
        while True:
            try:
                await self.look()
            except DATABASE_ERRORS as error:
                log.warning("schedule_waits", error=f"{type(error).__name__}: {error}")
            now = self._clock.now()
            left = (next_due(now, self._at, self._zone) - now).total_seconds()
            await asyncio.sleep(min(left, LOOK_SECONDS))

    async def look(self) -> date | None:
        """Begin the oldest batch that is due and missing; the date, if one was begun.

        A transfer that failed holds up those after it until somebody resumes it or begins it anew.
        """
        now = self._clock.now()
        async with self._pool.acquire() as connection:
            batches = await store.dates_since(connection, self._oldest(now))
        for day in missing(batches, now, at=self._at, zone=self._zone, catch_up_days=self._catch_up_days):
            state = batches[day][1] if day in batches else None
            if state is not None:
                if state == "failed" and self._held_up_by != day:
                    log.error("schedule_held_up", batch_date=str(day), reason="its transfer failed: resume it")
                    self._held_up_by = day
                return None
            # Another engine may have been quicker, which is as well.
            with suppress(TransferRefusedError):
                await self._transfers.begin(day, by=SCHEDULER)
                log.info("transfer_scheduled", batch_date=str(day))
                return day
        self._held_up_by = None
        return None

    def _oldest(self, now: datetime) -> date:
        return now.astimezone(self._zone).date() - timedelta(days=self._catch_up_days + 1)


class Retention:
    """Lets days go that are older than they have to be kept; None keeps for ever."""

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        clock: Clock,
        *,
        usage: int,
        versions: int,
        batches: int | None,
        runs: int,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._days: dict[Kind, int | None] = {"usage": usage, "versions": versions, "batches": batches, "runs": runs}

    async def run(self) -> None:
        """Look every hour."""
        while True:
            try:
                await self.forget()
            except DATABASE_ERRORS as error:
                log.warning("retention_waits", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(RETENTION_SECONDS)

    async def forget(self) -> dict[Kind, int]:
        """Let go of what is too old; how many days of usage, versions of rows, dates of batches and runs that were."""
        today = self._clock.now().date()
        found: dict[Kind, int] = {}
        async with self._pool.acquire() as connection:
            for kind, days in self._days.items():
                if days is None:
                    continue
                before = today - timedelta(days=days)
                if kind == "runs":
                    found[kind] = await collection.forget(connection, before)
                else:
                    found[kind] = await store.forget(connection, kind, before)
        if any(found.values()):
            log.info("retention", **found)
        return found
