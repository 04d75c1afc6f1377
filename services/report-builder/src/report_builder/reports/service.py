"""Asking for reports, and noting what became of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import Any

import asyncpg
import structlog
from tallyport.contracts.reports import BatchRevision, ReportFailed, ReportPart, ReportReady, ReportRequest
from tallyport.correlation import correlated
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.money import parse_decimal

from report_builder.reports import store
from report_builder.reports.model import (
    Outcome,
    Part,
    PinnedBatch,
    RefusedRequestError,
    RepeatedRequestError,
    Report,
    UnknownReportError,
    Wanted,
    completeness,
    missing_dates,
    settle,
)
from report_builder.warehouse import reading

log = structlog.get_logger()

READY_TOPIC = "reports.ready"
FAILED_TOPIC = "reports.failed"

UnitsOfWork = Callable[[str], AbstractAsyncContextManager[UnitOfWork]]


class ReportService:
    """The use cases around a report, each in one transaction."""

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], units_of_work: UnitsOfWork, on_request: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._units_of_work = units_of_work
        self._on_request = on_request

    async def request(
        self, uow: UnitOfWork, request: ReportRequest, *, asked_at: datetime, correlation_id: str | None = None
    ) -> Wanted:
        """Note a request; asking for the same again changes nothing.

        Raises:
            RefusedRequestError: it can never be fulfilled; nothing is noted.
            RepeatedRequestError: something else was asked for under this id.
        """
        wanted = settle(request, asked_at)
        if await store.insert(uow.connection, wanted, at=asked_at, correlation_id=correlation_id):
            uow.after_commit(self._on_request)
            return wanted
        known = await store.get(uow.connection, wanted.report_id)
        if known is None or not _same(request, known.wanted):
            raise RepeatedRequestError(f"report {wanted.report_id!r} was asked for before with other properties")
        return known.wanted

    async def get(self, report_id: str) -> Report:
        """One report.

        Raises:
            UnknownReportError: there is none.
        """
        async with self._pool.acquire() as connection:
            report = await store.get(connection, report_id)  # type: ignore[arg-type]  # a pool's proxy is a connection
        if report is None:
            raise UnknownReportError(f"there is no report {report_id!r}")
        return report

    async def latest(self, limit: int, organisation: str | None) -> list[Report]:
        """The latest reports, of one organisation's own or of all."""
        async with self._pool.acquire() as connection:
            return await store.latest(connection, limit, organisation)  # type: ignore[arg-type]

    async def begin(self, report_id: str) -> Report | None:
        """Fix what the report is made from and count the attempt.

        None when it is finished; perhaps just now, because nothing is there to make it from.
        """
        async with self._units_of_work("reports") as uow:
            report = await store.lock(uow.connection, report_id)
            if report is None or report.state in ("ready", "failed"):
                return None
            if not report.batches:
                report = await self._pin(uow, report)
                if report is None:
                    return None
            else:
                await store.begin_rendering(uow.connection, report_id, report.batches, report.missing, {})
            return await store.get(uow.connection, report_id)

    async def _pin(self, uow: UnitOfWork, report: Report) -> Report | None:
        wanted = report.wanted
        batches = await reading.current_batches(uow.connection, wanted.from_date, wanted.to_date)
        missing = missing_dates(wanted, {batch.batch_date for batch in batches})
        facts = completeness(missing, {batch.batch_date: dict(batch.completeness) for batch in batches})
        if not batches:
            period = str(wanted.from_date)
            if wanted.to_date != wanted.from_date:
                period += f" to {wanted.to_date}"
            await self._fail(
                uow,
                report,
                f"no batch of {period} is in the warehouse; run the transfer (tallyport transfer execute --date "
                f"{wanted.to_date}), then ask for the report again",
                facts,
            )
            return None
        pinned = [PinnedBatch(batch.batch_date, batch.revision, batch.sha256 or "") for batch in batches]
        await store.begin_rendering(uow.connection, wanted.report_id, pinned, missing, facts)
        return report

    async def progress(self, report_id: str, rows_done: int, rows_total: int) -> None:
        """Note how far a render is."""
        async with self._pool.acquire() as connection:
            await store.progress(connection, report_id, rows_done, rows_total)  # type: ignore[arg-type]

    async def forgive(self, report_id: str) -> None:
        """An attempt ended because something was away: it does not count."""
        async with self._pool.acquire() as connection:
            await store.forgive_attempt(connection, report_id)  # type: ignore[arg-type]

    async def ready(self, report_id: str, outcome: Outcome) -> None:
        """The artifacts are in object storage: note it and say so, in one transaction."""
        async with self._units_of_work("reports") as uow:
            report = await store.lock(uow.connection, report_id)
            if report is None or report.state != "rendering":
                return
            await store.finish_ready(uow.connection, report_id, outcome, uow.now())
            wanted = report.wanted
            event = ReportReady(
                report_id=report_id,
                kind=wanted.kind,
                format=wanted.format,
                from_date=wanted.from_date,
                to_date=wanted.to_date,
                organisation=wanted.organisation,
                language=wanted.language,
                parts=[
                    ReportPart(uri=part.uri, size=part.size, sha256=part.sha256, rows=part.rows)
                    for part in outcome.parts
                ],
                totals=outcome.totals,
                batches=[
                    BatchRevision(batch_date=one.batch_date, revision=one.revision, sha256=one.sha256)
                    for one in report.batches
                ],
                completeness=outcome.completeness,
            )
            uow.publish(READY_TOPIC, key=report_id, data=event, correlation_id=report.correlation_id)
        with correlated(report.correlation_id):
            log.info("report_ready", report_id=report_id, rows=sum(part.rows for part in outcome.parts))

    async def failed(self, report_id: str, reason: str) -> None:
        """The report cannot be made: note it and say so, in one transaction."""
        async with self._units_of_work("reports") as uow:
            report = await store.lock(uow.connection, report_id)
            if report is not None and report.state == "rendering":
                await self._fail(uow, report, reason, report.completeness)

    async def _fail(self, uow: UnitOfWork, report: Report, reason: str, facts: dict[str, Any]) -> None:
        report_id = report.wanted.report_id
        await store.finish_failed(uow.connection, report_id, reason, facts, uow.now())
        event = ReportFailed(report_id=report_id, kind=report.wanted.kind, reason=reason, failed_at=uow.now())
        uow.publish(FAILED_TOPIC, key=report_id, data=event, correlation_id=report.correlation_id)
        with correlated(report.correlation_id):
            log.warning("report_failed", report_id=report_id, reason=reason)


def refuse(uow: UnitOfWork, request: ReportRequest, error: RefusedRequestError, correlation_id: str | None) -> None:
    """Answer a request that can never be fulfilled."""
    event = ReportFailed(report_id=request.report_id, kind=request.kind, reason=str(error), failed_at=uow.now())
    uow.publish(FAILED_TOPIC, key=request.report_id, data=event, correlation_id=correlation_id)


def outcome_of(done: dict[str, Any]) -> Outcome:
    """What a rendering process said when it was done."""
    return Outcome(
        parts=tuple(Part(**part) for part in done["parts"]),
        totals={currency: parse_decimal(amount) for currency, amount in done["totals"].items()},
        completeness=done["completeness"],
    )


def _same(request: ReportRequest, known: Wanted) -> bool:
    """Whether it is the same request: a date that was left open then is left open now, and means what it meant."""

    def dates(one: date | None, settled: date) -> bool:
        return one is None or one == settled

    return (
        (request.kind, request.format, request.organisation, request.language)
        == (known.kind, known.format, known.organisation, known.language)
        and dates(request.from_date, known.from_date)
        and dates(request.to_date, known.to_date)
    )
