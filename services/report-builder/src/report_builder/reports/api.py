"""Reports over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import Identifier
from tallyport.contracts.reports import ReportFormat, ReportRequest
from tallyport.correlation import current_correlation
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.money import plain
from tallyport.observability.http import ProblemError

from report_builder.artifacts.service import ArtifactStore
from report_builder.reports.model import Part, RefusedRequestError, RepeatedRequestError, Report, UnknownReportError
from report_builder.reports.service import ReportService

Viewer = Annotated[Principal, Depends(require(Role.VIEWER, Role.CUSTOMER_ADMINISTRATOR, Role.SERVICE, bounded=True))]
Requester = Annotated[Principal, Depends(require(Role.CUSTOMER_ADMINISTRATOR, Role.SERVICE, bounded=True))]

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xml": "application/xml",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class NewReport(BaseModel):
    """A request; without dates it is about yesterday, without an id it gets one."""

    report_id: Identifier | None = None
    kind: Identifier = "customer-detail"
    format: ReportFormat
    from_date: date | None = None
    to_date: date | None = None
    organisation: Identifier | None = None
    language: str = "en"


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
        "requested_at": report.requested_at,
    }


async def _find(service: ReportService, report_id: str, who: Principal) -> Report:
    try:
        report = await service.get(report_id)
    except UnknownReportError as error:
        raise ProblemError(404, "Unknown report", str(error)) from None
    # What somebody may not see is for him not there.
    if who.organisation is not None and report.wanted.organisation != who.organisation:
        raise ProblemError(404, "Unknown report", f"there is no report {report_id!r}")
    return report


async def _request(service: ReportService, uow: UnitOfWork, body: NewReport, who: Principal) -> str:
    if who.organisation is not None and body.organisation not in (None, who.organisation):
        raise ProblemError(403, "Forbidden", f"this token sees the organisation {who.organisation!r} only")
    organisation = who.organisation or body.organisation
    report_id = body.report_id or str(uuid4())
    try:
        request = ReportRequest(**{**body.model_dump(), "report_id": report_id, "organisation": organisation})
        await service.request(uow, request, asked_at=uow.now(), correlation_id=current_correlation())
    except ValidationError as error:
        raise ProblemError(422, "The request is not valid", str(error.errors()[0]["msg"])) from None
    except RefusedRequestError as error:
        raise ProblemError(422, "The request is not valid", str(error)) from None
    except RepeatedRequestError as error:
        raise ProblemError(409, "Another report has this id", str(error)) from None
    return report_id


def _part(report: Report, number: int) -> Part:
    if report.state != "ready":
        raise ProblemError(409, "The report is not ready", report.reason or f"it is {report.state}; try again later")
    if not 1 <= number <= len(report.parts):
        raise ProblemError(404, "Unknown part", f"the report has {len(report.parts)} parts, counted from 1")
    return report.parts[number - 1]


def reports_router(
    service: ReportService,
    unit_of_work: Callable[[str], AbstractAsyncContextManager[UnitOfWork]],
    objects: ArtifactStore,
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
    async def latest(who: Viewer, limit: int = 30) -> list[dict[str, Any]]:
        """The latest reports, newest first."""
        return [_view(one) for one in await service.latest(min(max(limit, 1), 1000), who.organisation)]

    @router.get("/{report_id}")
    async def one(report_id: str, who: Viewer) -> dict[str, Any]:
        """One report: how far it is, its parts and the batches it was made of."""
        return _view(await _find(service, report_id, who))

    @router.get("/{report_id}/parts/{number}")
    async def download(report_id: str, number: int, who: Viewer) -> StreamingResponse:
        """An artifact's bytes; parts are counted from 1."""
        report = await _find(service, report_id, who)
        part = _part(report, number)
        return StreamingResponse(
            objects.read(part.key),
            media_type=MEDIA_TYPES[report.wanted.format],
            headers={
                "Content-Length": str(part.size),
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(PurePosixPath(part.key).name)}",
                "ETag": f'"{part.sha256}"',
            },
        )

    return router
