"""Asking for reports, and noting what became of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import Any, Literal

import asyncpg
import structlog
from tallyport.contracts.reports import BatchRevision, ReportFailed, ReportPart, ReportReady, ReportRequest
from tallyport.correlation import correlated
from tallyport.messaging.envelope import new_event_id
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.money import parse_decimal

from report_builder.licences import service as licences
from report_builder.reports import store
from report_builder.reports.model import (
    FINISHED,
    KINDS,
    Asker,
    Facts,
    FinishedReportError,
    OthersReportError,
    Outcome,
    Part,
    PinnedBatch,
    ProvidersReportError,
    RefusedRequestError,
    RepeatedRequestError,
    Report,
    Terms,
    UnknownOrganisationError,
    UnknownReportError,
    Wanted,
    completeness,
    missing_dates,
    reach_back,
    same_request,
    settle,
    visible_to,
    without_names,
)
from report_builder.synchronisation import service as synchronisation
from report_builder.warehouse import reading
from report_builder.warehouse.model import BatchKey
from report_builder.webhooks.service import Webhooks

log = structlog.get_logger()

READY_TOPIC = "reports.ready"
FAILED_TOPIC = "reports.failed"

UnitsOfWork = Callable[[str], AbstractAsyncContextManager[UnitOfWork]]


class ReportService:
    """The use cases around a report, each in one transaction."""

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        units_of_work: UnitsOfWork,
        on_request: Callable[[], None],
        webhooks: Webhooks,
    ) -> None:
        self._pool = pool
        self._webhooks = webhooks
        self._units_of_work = units_of_work
        self._on_request = on_request

    async def request(
        self,
        uow: UnitOfWork,
        request: ReportRequest,
        *,
        asked_at: datetime,
        asker: Asker,
        correlation_id: str | None = None,
        remarks: Facts | None = None,
    ) -> Wanted:
        """Note a request; asking for the same again changes nothing. ``remarks`` go into its completeness statement.

        Raises:
            RefusedRequestError: it can never be fulfilled; nothing is noted.
            RepeatedRequestError: something else was asked for under this id.
            UnknownOrganisationError: the asker sees no such organisation.
            ProvidersReportError: the asker is of an organisation, and the report about all.
        """
        wanted = await self.see_whether(uow, request, asked_at=asked_at, asker=asker)
        if await store.insert(
            uow.connection, wanted, asker=asker, at=asked_at, correlation_id=correlation_id, remarks=remarks or {}
        ):
            uow.after_commit(self._on_request)
            return wanted
        known = await store.get(uow.connection, wanted.report_id)
        if known is None or known.asker.organisation != asker.organisation or not same_request(request, known.wanted):
            raise RepeatedRequestError(f"report {wanted.report_id!r} was asked for before with other properties")
        return known.wanted

    async def see_whether(self, uow: UnitOfWork, request: ReportRequest, *, asked_at: datetime, asker: Asker) -> Wanted:
        """The request with its dates settled, if it can be fulfilled; nothing is noted.

        Raises:
            RefusedRequestError: it never can be.
            UnknownOrganisationError: the asker sees no such organisation.
            ProvidersReportError: the asker is of an organisation, and the report about all.
        """
        wanted = settle(request, asked_at)
        await _see_scope(uow.connection, wanted, asker)
        return wanted

    async def get(self, report_id: str, organisation: str | None = None) -> Report:
        """One report, if ``organisation`` may see it; None may see all.

        Raises:
            UnknownReportError: there is none.
        """
        async with self._pool.acquire() as connection:
            report = await store.get(connection, report_id)  # type: ignore[arg-type]  # a pool's proxy is a connection
        return _seen(report, report_id, organisation)

    async def latest(
        self, limit: int, organisation: str | None, after: tuple[datetime, str] | None = None
    ) -> list[Report]:
        """The latest reports, newest first: those that ``organisation`` may see, or all; going on ``after`` one."""
        async with self._pool.acquire() as connection:
            return await store.latest(connection, limit, organisation, after)  # type: ignore[arg-type]

    async def cancel(self, uow: UnitOfWork, report_id: str, asker: Asker, why: str = "") -> None:
        """Stop a report that is not finished; one that is cancelled stays so.

        Raises:
            UnknownReportError: the asker sees none under this id.
            OthersReportError: he sees it, and it is not his to stop.
            FinishedReportError: it is ready, or has failed.
        """
        report = _seen(await store.lock(uow.connection, report_id), report_id, asker.organisation)
        if asker.organisation is not None and report.asker.organisation != asker.organisation:
            raise OthersReportError(f"report {report_id!r} was asked for by somebody else")
        if report.state == "cancelled":
            return
        if report.state in FINISHED:
            raise FinishedReportError(f"report {report_id!r} is {report.state} already")
        reason = f"cancelled by {asker.name}" + (f": {why}" if why else "")
        await self._end(uow, report, "cancelled", reason=reason, facts=report.completeness)

    async def begin(self, report_id: str) -> Report | None:
        """Fix what the report is made from and count the attempt.

        None when it is finished; perhaps just now, because nothing is there to make it from.
        """
        async with self._units_of_work("reports") as uow:
            report = await store.lock(uow.connection, report_id)
            if report is None or report.state in FINISHED:
                return None
            if not report.batches and report.terms is None:
                report = await self._pin(uow, report)
                if report is None:
                    return None
            else:
                await store.begin_rendering(
                    uow.connection, report_id, batches=report.batches, missing=report.missing, facts={}, visible_to=()
                )
            return await store.get(uow.connection, report_id)

    async def _pin(self, uow: UnitOfWork, report: Report) -> Report | None:
        wanted = report.wanted
        if KINDS[wanted.kind].terms == "run":
            return await self._pin_run(uow, report)
        batches = await reading.current_batches(uow.connection, reach_back(wanted), wanted.to_date)
        keys = [(batch.batch_date, batch.revision) for batch in batches]
        chains: dict[BatchKey, list[str]] = {}
        outside: set[date] = set()
        if wanted.organisation is not None:
            chains = await reading.chains_upward(uow.connection, keys, wanted.organisation)
            outside = {key[0] for key in keys if not _in_scope(report.asker, chains.get(key, ()))}
        missing = missing_dates(wanted, {batch.batch_date for batch in batches})
        batches = [batch for batch in batches if batch.batch_date not in outside]
        said = {one.batch_date: dict(one.completeness) for one in batches}
        period = {day: statement for day, statement in said.items() if day >= wanted.from_date}
        # How many dates there are is said of the period; what was not whole, of the dates it is compared with, too.
        facts = {**completeness((), said), **completeness(missing, period)}
        if any(len(chain) > 1 for chain in chains.values()):
            facts = without_names(facts)
        if outside:
            facts["dates_out_of_scope"] = sorted(map(str, outside))
        facts.update(report.remarks)
        if not period:
            await self._end(uow, report, "failed", reason=_why_nothing(wanted, outside), facts=facts)
            return None
        await store.begin_rendering(
            uow.connection,
            wanted.report_id,
            batches=[PinnedBatch(batch.batch_date, batch.revision, batch.sha256 or "") for batch in batches],
            missing=missing,
            facts=facts,
            visible_to=visible_to(chains.get((batch.batch_date, batch.revision), ()) for batch in batches)
            | report.visible_to,
            terms=await _terms(uow.connection, wanted),
        )
        return report

    async def _pin_run(self, uow: UnitOfWork, report: Report) -> Report | None:
        """Fix the inventory run that a report is about: what was said of it, by value."""
        wanted = report.wanted
        found = await synchronisation.terms(uow.connection, wanted.run, wanted.to_date)
        if found is None:
            which = f"{wanted.run!r}" if wanted.run else f"that was finished by {wanted.to_date}"
            reason = f"there is no inventory run {which}; see which were heard of (GET /v1/synchronisations)"
            await self._end(uow, report, "failed", reason=reason, facts=report.remarks)
            return None
        await store.begin_rendering(
            uow.connection,
            wanted.report_id,
            batches=[],
            missing=[],
            facts=report.remarks,
            visible_to=[],
            terms=found,
        )
        return report

    async def progress(self, report_id: str, rows_done: int, rows_total: int) -> bool:
        """Note how far a render is; false when it is not wanted any more."""
        async with self._pool.acquire() as connection:
            return await store.progress(connection, report_id, rows_done, rows_total)  # type: ignore[arg-type]

    async def forgive(self, report_id: str, away: str | None = None) -> None:
        """An attempt ended because the service stops, or something is ``away``: it does not count."""
        reason = f"waits, because something is away: {away}" if away else None
        async with self._pool.acquire() as connection:
            await store.forgive_attempt(connection, report_id, reason)  # type: ignore[arg-type]

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
            event_id = new_event_id()
            uow.publish(READY_TOPIC, key=report_id, data=event, event_id=event_id, correlation_id=report.correlation_id)
            said = event.model_dump(mode="json")
            await self._webhooks.tell(uow, "report.ready", event_id, said, report.visible_to)
        with correlated(report.correlation_id):
            log.info("report_ready", report_id=report_id, rows=sum(part.rows for part in outcome.parts))

    async def failed(self, report_id: str, reason: str) -> None:
        """The report cannot be made: note it and say so, in one transaction."""
        async with self._units_of_work("reports") as uow:
            report = await store.lock(uow.connection, report_id)
            if report is not None and report.state == "rendering":
                await self._end(uow, report, "failed", reason=reason, facts=report.completeness)

    async def _end(
        self, uow: UnitOfWork, report: Report, state: Literal["failed", "cancelled"], *, reason: str, facts: Facts
    ) -> None:
        report_id = report.wanted.report_id
        await store.finish_without(uow.connection, report_id, state, reason=reason, facts=facts, at=uow.now())
        event = ReportFailed(report_id=report_id, kind=report.wanted.kind, reason=reason, failed_at=uow.now())
        event_id = new_event_id()
        uow.publish(FAILED_TOPIC, key=report_id, data=event, event_id=event_id, correlation_id=report.correlation_id)
        await self._webhooks.tell(uow, "report.failed", event_id, event.model_dump(mode="json"), report.visible_to)
        with correlated(report.correlation_id):
            log.warning("report_ended", report_id=report_id, state=state, reason=reason)


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


async def _terms(connection: store.Connection, wanted: Wanted) -> Terms | None:
    if KINDS[wanted.kind].terms != "licences":
        return None
    return await licences.terms(connection, wanted.to_date, counts=wanted.counts, billing_mode=wanted.billing_mode)


async def _see_scope(connection: store.Connection, wanted: Wanted, asker: Asker) -> None:
    """Whoever is bound to an organisation asks about it, or about what stands below it now."""
    if asker.organisation is not None and KINDS[wanted.kind].provider_only:
        raise ProvidersReportError(f"a {wanted.kind} is about the whole installation, and you are of one organisation")
    if asker.organisation is None or wanted.organisation == asker.organisation:
        return
    newest = await reading.newest_batch(connection)
    chains = await reading.chains_upward(connection, [newest], wanted.organisation or "") if newest else {}
    if not any(_in_scope(asker, chain) for chain in chains.values()):
        raise UnknownOrganisationError(f"there is no organisation {wanted.organisation!r} at or below yours")


def _why_nothing(wanted: Wanted, outside: set[date]) -> str:
    dates = str(wanted.from_date) if wanted.to_date == wanted.from_date else f"{wanted.from_date} to {wanted.to_date}"
    if outside:
        return (
            f"organisation {wanted.organisation!r} is in none of the batches of {dates}; look up its id, or ask for "
            "other dates"
        )
    return (
        f"no batch of {dates} is in the warehouse; run the transfer (tallyport transfer execute --date "
        f"{wanted.to_date}), then ask for the report again"
    )


def _in_scope(asker: Asker, chain: Sequence[str]) -> bool:
    return asker.organisation is None or asker.organisation in chain


def _seen(report: Report | None, report_id: str, organisation: str | None) -> Report:
    if report is None or (organisation is not None and organisation not in report.visible_to):
        raise UnknownReportError(f"there is no report {report_id!r}")
    return report
