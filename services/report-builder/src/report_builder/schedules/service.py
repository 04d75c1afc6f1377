"""Asking for reports when they are due, each once, after the collectors were heard if that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import structlog
from tallyport.clock import Clock
from tallyport.contracts.collection import CollectionRequest, CollectionRun
from tallyport.contracts.reports import ReportRequest
from tallyport.correlation import correlated
from tallyport.messaging.backoff import Backoff
from tallyport.messaging.record import Event
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.postgres.pool import TRANSIENT_ERRORS

from report_builder.reports.model import (
    KINDS,
    Asker,
    Facts,
    ProvidersReportError,
    RefusedRequestError,
    RepeatedRequestError,
    UnknownOrganisationError,
)
from report_builder.reports.service import ReportService
from report_builder.schedules import store
from report_builder.schedules.model import RefusedScheduleError, Schedule, check
from report_builder.schedules.store import Run

log = structlog.get_logger()

REQUESTS_TOPIC: Final = "collection.requests"
LOOK_SECONDS: Final = 60.0
SOURCES_OF_DAYS: Final = 7
"""A source that was not heard of for so long is not waited for."""

UnitsOfWork = Callable[[str], AbstractAsyncContextManager[UnitOfWork]]


class UnknownScheduleError(LookupError):
    """There is no such schedule, or it is another organisation's."""


class TakenNameError(ValueError):
    """The name is another organisation's."""


class Schedules:
    """The use cases around schedules, and the loop that asks for what is due."""

    def __init__(
        self,
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        units_of_work: UnitsOfWork,
        reports: ReportService,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._units_of_work = units_of_work
        self._reports = reports
        self._clock = clock
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()

    # ---- editing

    async def listing(self, owner: str | None, *, after: str | None, limit: int) -> list[tuple[Schedule, datetime]]:
        """The schedules of an organisation, or all, by name, each with when it is due next."""
        async with self._pool.acquire() as connection:
            return await store.schedules(connection, owner, after=after, limit=limit)

    async def one(self, uow: UnitOfWork, name: str, owner: str | None) -> tuple[Schedule, datetime]:
        """One schedule and when it is due next; nobody else changes it until the unit of work ends.

        Raises:
            UnknownScheduleError: the asker has none of that name.
        """
        found = await store.lock(uow.connection, name)
        if found is None or (owner is not None and found[0].owner != owner):
            raise UnknownScheduleError(f"there is no schedule {name!r}")
        return found

    async def put(self, uow: UnitOfWork, wanted: Schedule) -> tuple[Schedule, datetime]:
        """Make this the schedule of its name. It is due for the first time after now: nothing is made up for.

        Raises:
            RefusedScheduleError, RefusedRequestError: what it asks for can never be.
            UnknownOrganisationError: its owner sees no such organisation.
            ProvidersReportError: its owner is an organisation, and the report about all.
            TakenNameError: the name is another organisation's.
        """
        check(wanted)
        known = await store.lock(uow.connection, wanted.name)
        if known is not None:
            if wanted.owner is not None and known[0].owner != wanted.owner:
                raise TakenNameError(f"the name {wanted.name!r} is taken; choose another")
            wanted = replace(wanted, owner=known[0].owner)
        due = wanted.due_after(uow.now())
        asker = _asker(wanted.name, wanted.owner)
        await self._reports.see_whether(uow, _request(wanted, due), asked_at=due, asker=asker)
        await store.put(uow.connection, wanted, due)
        uow.after_commit(self._wake.set)
        return wanted, due

    async def delete(self, uow: UnitOfWork, name: str, owner: str | None) -> None:
        """Let it ask for nothing more.

        Raises:
            UnknownScheduleError: the asker has none of that name.
        """
        await self.one(uow, name, owner)
        await store.delete(uow.connection, name)

    async def runs(self, uow: UnitOfWork, name: str, owner: str | None, limit: int) -> list[Run]:
        """The latest times it was due, and what came of them.

        Raises:
            UnknownScheduleError: the asker has none of that name.
        """
        await self.one(uow, name, owner)
        return await store.runs(uow.connection, name, limit)

    # ---- what the collectors say

    async def on_runs(self, uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        """``collection.runs``: who was read, and whether a report waits for it."""
        for event in events:
            run: CollectionRun = event.data
            await store.hear(uow.connection, run.run_id, run.source, run.state, run.finished_at)
        uow.after_commit(self._wake.set)

    # ---- asking

    def stop(self) -> None:
        """Ask for nothing more."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Ask for what is due until stopped."""
        backoff = Backoff(self._stopping)
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                while await self.look() and not self._stopping.is_set():
                    pass
                async with self._pool.acquire() as connection:
                    due = await store.next_due(connection)
            except TRANSIENT_ERRORS as error:
                log.warning("schedules_wait", error=f"{type(error).__name__}: {error}")
                await backoff.wait()
                continue
            except Exception:  # a defect must not end the asking unheard: it is undone, logged and tried again
                log.exception("schedules_broke")
                await backoff.wait()
                continue
            backoff.reset()
            left = LOOK_SECONDS if due is None else max(0.0, (due - self._clock.now()).total_seconds())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), min(LOOK_SECONDS, left))

    async def look(self) -> bool:
        """Do one thing that is due; false when there was none."""
        now = self._clock.now()
        async with self._units_of_work("schedules") as uow:
            found = await store.take_due(uow.connection, now)
            if found is not None:
                schedule, since = found
                for due in schedule.due_until(since, now):
                    await self._begin(uow, schedule, due)
                await store.move_on(uow.connection, schedule.name, schedule.due_after(now))
                return True
            waiting = await store.waiting_run(uow.connection, now)
            if waiting is None:
                return False
            remarks: Facts = {"synchronised": waiting.synchronisation.said()}
            asker = _asker(waiting.schedule, waiting.owner)
            await self._ask(uow, waiting.schedule, waiting.due_at, waiting.request, asker=asker, remarks=remarks)
            return True

    async def _begin(self, uow: UnitOfWork, schedule: Schedule, due: datetime) -> None:
        request = _request(schedule, due)
        minutes = schedule.synchronise_minutes
        if minutes is None:
            if await store.begin_run(
                uow.connection, schedule, due, request, state="requested", expected=[], deadline=None
            ):
                asker = _asker(schedule.name, schedule.owner)
                await self._ask(uow, schedule.name, due, request, asker=asker, remarks={})
            return
        now = uow.now()
        expected = await store.sources_since(uow.connection, now - timedelta(days=SOURCES_OF_DAYS))
        deadline = now + timedelta(minutes=minutes)
        if await store.begin_run(
            uow.connection, schedule, due, request, state="synchronising", expected=expected, deadline=deadline
        ):
            wanted = CollectionRequest(run_id=request.report_id)
            uow.publish(REQUESTS_TOPIC, key=request.report_id, data=wanted, correlation_id=request.report_id)

    async def _ask(
        self, uow: UnitOfWork, name: str, due: datetime, request: ReportRequest, *, asker: Asker, remarks: Facts
    ) -> None:
        with correlated(request.report_id):
            try:
                await self._reports.request(
                    uow,
                    request,
                    asked_at=due,
                    asker=asker,
                    correlation_id=request.report_id,
                    remarks=remarks,
                )
            except (
                ProvidersReportError,
                RefusedRequestError,
                RepeatedRequestError,
                UnknownOrganisationError,
            ) as error:
                log.warning("schedule_refused", schedule=name, due_at=due.isoformat(), reason=str(error))
                await store.end_run(uow.connection, name, due, "refused", str(error))
                return
            log.info("schedule_asked", schedule=name, due_at=due.isoformat(), report_id=request.report_id)
        await store.end_run(uow.connection, name, due, "requested", str(remarks.get("synchronised", "")) or None)


def _request(schedule: Schedule, due: datetime) -> ReportRequest:
    from_date, to_date = schedule.dates(due)
    return ReportRequest(
        report_id=schedule.report_id(due),
        kind=schedule.kind,
        format=schedule.format,
        from_date=from_date,
        to_date=to_date,
        organisation=_organisation(schedule),
        language=schedule.language,
    )


def _organisation(schedule: Schedule) -> str | None:
    rule = KINDS.get(schedule.kind)
    whole = rule is not None and rule.provider_only
    return schedule.organisation or (None if whole else schedule.owner)


def _asker(name: str, owner: str | None) -> Asker:
    return Asker(f"schedule {name}", owner)


__all__ = ["RefusedScheduleError", "Schedules", "TakenNameError", "UnknownScheduleError"]
