"""Artifacts over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.observability.http import ProblemError
from tallyport.rest.openapi import problems

from report_builder.downloads.model import ExpiredLinkError, How, InvalidLinkError
from report_builder.downloads.service import Downloads, Handed, LetGoError, NotReadyError, UnknownPartError
from report_builder.reports.api import Viewer, asker_of
from report_builder.reports.model import UnknownReportError

Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]

MEDIA_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "xml": "application/xml",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
MAX_SECONDS: Final = 7 * 24 * 3600
"""Object stores sign for a week at most."""


class WantedLink(BaseModel):
    """How long a link is good for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"valid_seconds": 900}]})

    valid_seconds: int = Field(default=900, ge=1, le=MAX_SECONDS)


class LinkView(BaseModel):
    """A URL that gives the artifact to whoever has it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "http://127.0.0.1:8083/downloads/WyIzZjBjIiwxXQ.0f3bqo",
                    "expires_at": "2026-11-22T07:00:00Z",
                }
            ]
        }
    )

    url: str
    expires_at: datetime


class DownloadView(BaseModel):
    """Who fetched which part."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"examples": [{"number": 1, "at": "2026-11-22T06:45:00Z", "by": "nordsee", "how": "link"}]},
    )

    number: int
    at: datetime
    by: str
    how: How


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UnknownReportError as error:
        raise ProblemError(404, "Unknown report", str(error)) from None
    except UnknownPartError as error:
        raise ProblemError(404, "Unknown part", str(error)) from None
    except InvalidLinkError as error:
        raise ProblemError(404, "Unknown link", str(error)) from None
    except NotReadyError as error:
        raise ProblemError(409, "The report is not ready", str(error)) from None
    except (LetGoError, ExpiredLinkError) as error:
        raise ProblemError(410, "It is gone", str(error)) from None


def _stream(handed: Handed) -> StreamingResponse:
    name = PurePosixPath(handed.part.key).name
    return StreamingResponse(
        handed.blocks,
        media_type=MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream"),
        headers={
            "Content-Length": str(handed.part.size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
            "ETag": f'"{handed.part.sha256}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


def downloads_router(downloads: Downloads) -> APIRouter:
    """Below ``/v1/reports``, and ``/downloads`` for those who have a link."""
    router = APIRouter()

    @router.get("/v1/reports/{report_id}/parts/{number}", responses=problems(404, 409, 410))
    async def download(report_id: str, number: int, who: Viewer) -> StreamingResponse:
        """An artifact's bytes; parts are counted from 1."""
        with _refusals():
            return _stream(await downloads.hand_out(report_id, number, asker_of(who)))

    @router.post("/v1/reports/{report_id}/parts/{number}/link", responses=problems(404, 409, 410))
    async def link(report_id: str, number: int, who: Viewer, wanted: WantedLink) -> LinkView:
        """A URL that gives the artifact to whoever has it, for a while: the object store's own where it makes them."""
        with _refusals():
            url, expires_at = await downloads.link(report_id, number, asker_of(who), wanted.valid_seconds)
        return LinkView(url=url, expires_at=expires_at)

    @router.get("/v1/reports/{report_id}/downloads", responses=problems(404))
    async def history(report_id: str, _: Administrator) -> list[DownloadView]:
        """Who fetched the report or was given a link to it, newest first."""
        with _refusals():
            return [DownloadView.model_validate(one) for one in await downloads.history(report_id, limit=1000)]

    @router.get("/downloads/{text}", include_in_schema=False)
    async def by_link(text: str) -> StreamingResponse:
        with _refusals():
            return _stream(await downloads.by_link(text))

    return router
