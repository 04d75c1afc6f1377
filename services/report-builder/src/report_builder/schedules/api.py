"""Schedules over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import asdict
from datetime import datetime, time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import Identifier
from tallyport.contracts.reports import ReportFormat
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.observability.http import ProblemError
from tallyport.rest.etags import Conditions, etag_of
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor

from report_builder.reports.api import Viewer
from report_builder.reports.model import RefusedRequestError, UnknownOrganisationError
from report_builder.schedules.model import Every, Period, RefusedScheduleError, Schedule
from report_builder.schedules.service import Schedules, TakenNameError, UnknownScheduleError
from report_builder.schedules.store import RunState

Editor = Annotated[Principal, Depends(require(Role.CUSTOMER_ADMINISTRATOR, Role.RESELLER_ADMINISTRATOR, bounded=True))]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
MAX_SYNCHRONISE_MINUTES: Final = 24 * 60

_EXAMPLE: Final[dict[str, Any]] = {
    "kind": "customer-detail",
    "format": "xlsx",
    "organisation": "var-north",
    "language": "de",
    "period": "last_month",
    "every": "month",
    "day": 1,
    "at": "06:00:00",
    "zone": "Europe/Berlin",
    "synchronise_minutes": 30,
    "active": True,
}
_VIEW: Final[dict[str, Any]] = {
    **_EXAMPLE,
    "name": "north-monthly",
    "owner": None,
    "changed_by": "operator",
    "changed_at": "2026-11-22T06:30:00Z",
    "next_due_at": "2026-12-01T05:00:00Z",
}
_RUN: Final[dict[str, Any]] = {
    "due_at": "2026-11-01T05:00:00Z",
    "report_id": "schedule-north-monthly-20261101T0500Z",
    "state": "requested",
    "outcome": "sources: 3 read, 1 not heard of in time",
}


class ScheduleBody(BaseModel):
    """What is wanted, and when."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    kind: Identifier = "customer-detail"
    format: ReportFormat
    organisation: Identifier | None = None
    language: Identifier = "en"
    period: Period = "yesterday"
    every: Every = "day"
    day: int = Field(default=1, ge=1, le=31, description="1 (Monday) to 7 of a week, or of a month")
    at: time = Field(description="local time, HH:MM")
    zone: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "UTC"
    synchronise_minutes: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SYNCHRONISE_MINUTES,
        description="ask the collectors before, and wait so long for them",
    )
    active: bool = True


class ScheduleView(ScheduleBody):
    """A schedule and when it is due next."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_VIEW]})

    name: str
    owner: str | None
    changed_by: str
    changed_at: datetime
    next_due_at: datetime


class RunView(BaseModel):
    """One time that it was due, and what came of it."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_RUN]})

    due_at: datetime
    report_id: str
    state: RunState
    outcome: str | None


def _view(schedule: Schedule, next_due_at: datetime) -> ScheduleView:
    return ScheduleView(**asdict(schedule), next_due_at=next_due_at)


def _tag(schedule: Schedule) -> str:
    return etag_of(asdict(schedule))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UnknownScheduleError as error:
        raise ProblemError(404, "Unknown schedule", str(error)) from None
    except UnknownOrganisationError as error:
        raise ProblemError(404, "Unknown organisation", str(error)) from None
    except TakenNameError as error:
        raise ProblemError(409, "The name is taken", str(error)) from None
    except (RefusedScheduleError, RefusedRequestError) as error:
        field, _, words = str(error).partition(": ")
        raise ProblemError(422, "The request is not valid", str(error), [{"field": field, "message": words}]) from None


def schedules_router(
    schedules: Schedules, unit_of_work: Callable[[str], AbstractAsyncContextManager[UnitOfWork]]
) -> APIRouter:
    """``/v1/schedules``."""
    router = APIRouter(prefix="/v1/schedules")

    @router.get("")
    async def listing(
        who: Viewer,
        *,
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: After = None,
    ) -> list[ScheduleView]:
        """The schedules by name, each with when it is due next."""
        cursor = read_cursor(after, str)
        found = await schedules.listing(who.organisation, after=cursor[0] if cursor else None, limit=limit + 1)
        return [_view(*one) for one in page(request, response, found, limit, lambda one: cursor_of(one[0].name))]

    @router.get("/{name}", responses=problems(404))
    async def show(name: Name, who: Viewer, conditions: Conditions, response: Response) -> ScheduleView:
        """One schedule, and when it is due next."""
        with _refusals():
            async with unit_of_work("api") as uow:
                found = await schedules.one(uow, name, who.organisation)
        response.headers["ETag"] = _tag(found[0])
        return conditions.not_modified(_tag(found[0])) or _view(*found)  # type: ignore[return-value]  # an answer of its own

    @router.put("/{name}", responses=problems(404, 409, 412))
    async def put(
        name: Name, body: ScheduleBody, who: Editor, conditions: Conditions, response: Response
    ) -> ScheduleView:
        """Make this the schedule of that name. It is due for the first time after now."""
        with _refusals():
            async with unit_of_work("api") as uow:
                conditions.check(await _current(uow, name, who), f"the schedule {name!r}")
                wanted = Schedule(
                    **body.model_dump(), name=name, owner=who.organisation, changed_by=who.name, changed_at=uow.now()
                )
                found = await schedules.put(uow, wanted)
        response.headers["ETag"] = _tag(found[0])
        return _view(*found)

    @router.delete("/{name}", status_code=204, responses=problems(404, 412))
    async def delete(name: Name, who: Editor, conditions: Conditions) -> None:
        """Let it ask for nothing more; what it asked for stays."""
        with _refusals():
            async with unit_of_work("api") as uow:
                conditions.check(await _current(uow, name, who), f"the schedule {name!r}")
                await schedules.delete(uow, name, who.organisation)

    @router.get("/{name}/runs", responses=problems(404))
    async def runs(name: Name, who: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[RunView]:
        """The latest times it was due, newest first, and what came of them."""
        with _refusals():
            async with unit_of_work("api") as uow:
                found = await schedules.runs(uow, name, who.organisation, limit)
        return [RunView.model_validate(one) for one in found]

    async def _current(uow: UnitOfWork, name: str, who: Principal) -> str | None:
        try:
            return _tag((await schedules.one(uow, name, who.organisation))[0])
        except UnknownScheduleError:
            return None

    return router
