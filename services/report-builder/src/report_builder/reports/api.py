"""Reports over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Final
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ValidationError
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import Identifier
from tallyport.contracts.reports import BillingMode, CountedBy, ReportFormat, ReportRequest
from tallyport.correlation import current_correlation
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.money import plain
from tallyport.observability.http import ProblemError
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor
from tallyport.rest.reasons import Reason

from report_builder.reports.model import (
    KINDS,
    Asker,
    FinishedReportError,
    OthersReportError,
    ProvidersReportError,
    RefusedRequestError,
    RepeatedRequestError,
    Report,
    UnknownOrganisationError,
    UnknownReportError,
)
from report_builder.reports.service import ReportService

_REQUESTERS: Final = (
    Role.CUSTOMER_ADMINISTRATOR,
    Role.RESELLER_ADMINISTRATOR,
    Role.RESELLER_VIEWER,
    Role.SERVICE,
)
Requester = Annotated[Principal, Depends(require(*_REQUESTERS, bounded=True))]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER, *_REQUESTERS, bounded=True))]


class NewReport(BaseModel):
    """A request; without dates it is about yesterday, without an id it gets one.

    ``counts`` and ``billing_mode`` are said instead of what the billing settings say; ``run`` is an inventory run.
    """

    report_id: Identifier | None = None
    kind: Identifier = "customer-detail"
    format: ReportFormat
    from_date: date | None = None
    to_date: date | None = None
    organisation: Identifier | None = None
    language: str = "en"
    counts: CountedBy | None = None
    billing_mode: BillingMode | None = None
    run: Identifier | None = None


def _view(report: Report) -> dict[str, Any]:
    wanted = report.wanted
    return {
        "report_id": wanted.report_id,
        "kind": wanted.kind,
        "format": wanted.format,
        "from_date": wanted.from_date,
        "to_date": wanted.to_date,
        "organisation": wanted.organisation,
        "language": wanted.language,
        "counts": wanted.counts,
        "billing_mode": wanted.billing_mode,
        "run": wanted.run,
        "state": report.state,
        "rows_done": report.rows_done,
        "rows_total": report.rows_total,
        "parts": [
            {
                "uri": part.uri,
                "name": PurePosixPath(part.key).name,
                "size": part.size,
                "sha256": part.sha256,
                "rows": part.rows,
            }
            for part in report.parts
        ],
        "batches": [
            {"batch_date": one.batch_date, "revision": one.revision, "sha256": one.sha256} for one in report.batches
        ],
        "totals": {currency: plain(amount) for currency, amount in report.totals.items()},
        "completeness": report.completeness,
        "reason": report.reason,
        "let_go_at": report.let_go_at,
        "requested_at": report.requested_at,
    }


async def _find(service: ReportService, report_id: str, who: Principal) -> Report:
    try:
        return await service.get(report_id, who.organisation)
    except UnknownReportError as error:
        raise ProblemError(404, "Unknown report", str(error)) from None


async def _request(service: ReportService, uow: UnitOfWork, body: NewReport, who: Principal) -> str:
    organisation = body.organisation or who.organisation
    if body.kind in KINDS and KINDS[body.kind].provider_only:
        organisation = body.organisation
    report_id = body.report_id or str(uuid4())
    try:
        request = ReportRequest(**{**body.model_dump(), "report_id": report_id, "organisation": organisation})
        await service.request(
            uow, request, asked_at=uow.now(), asker=asker_of(who), correlation_id=current_correlation()
        )
    except ValidationError as error:
        raise ProblemError(422, "The request is not valid", str(error.errors()[0]["msg"])) from None
    except ProvidersReportError as error:
        raise ProblemError(403, "This is the provider's", str(error)) from None
    except RefusedRequestError as error:
        raise ProblemError(422, "The request is not valid", str(error)) from None
    except UnknownOrganisationError as error:
        raise ProblemError(404, "Unknown organisation", str(error)) from None
    except RepeatedRequestError as error:
        raise ProblemError(409, "Another report has this id", str(error)) from None
    return report_id


def asker_of(who: Principal) -> Asker:
    """Who asks, as reports know it."""
    return Asker(who.name, who.organisation)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ProblemError(422, "The request is not valid", "after: this is not a cursor of this list") from None


def reports_router(
    service: ReportService,
    unit_of_work: Callable[[str], AbstractAsyncContextManager[UnitOfWork]],
) -> APIRouter:
    """``/v1/reports``."""
    router = APIRouter(prefix="/v1/reports")

    @router.post("", status_code=202)
    async def create(body: NewReport, who: Requester) -> dict[str, Any]:
        """Ask for a report; it is made in the background. Asking again under the same id answers with what there is."""
        async with unit_of_work("api") as uow:
            report_id = await _request(service, uow, body, who)
        return _view(await _find(service, report_id, who))

    @router.get("")
    async def latest(
        who: Viewer,
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=1000)] = 30,
        after: After = None,
    ) -> list[dict[str, Any]]:
        """The latest reports, newest first."""
        place = read_cursor(after, str, str)
        begun = (_moment(place[0]), place[1]) if place else None
        found = await service.latest(limit + 1, who.organisation, begun)
        shown = page(
            request,
            response,
            found,
            limit,
            lambda one: cursor_of(one.requested_at.isoformat(), one.wanted.report_id),
        )
        return [_view(one) for one in shown]

    @router.get("/{report_id}")
    async def one(report_id: str, who: Viewer) -> dict[str, Any]:
        """One report: how far it is, its parts and the batches it was made of."""
        return _view(await _find(service, report_id, who))

    @router.post("/{report_id}/cancel", responses=problems(404, 409))
    async def cancel(report_id: str, who: Requester, why: Reason = "") -> dict[str, Any]:
        """Stop a report that is not finished yet; one that is cancelled stays so."""
        try:
            async with unit_of_work("api") as uow:
                await service.cancel(uow, report_id, asker_of(who), why)
        except UnknownReportError as error:
            raise ProblemError(404, "Unknown report", str(error)) from None
        except OthersReportError as error:
            raise ProblemError(403, "It is not yours", str(error)) from None
        except FinishedReportError as error:
            raise ProblemError(409, "The report is finished", str(error)) from None
        return _view(await _find(service, report_id, who))

    return router
