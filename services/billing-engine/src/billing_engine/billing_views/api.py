"""Registered views over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Body, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import Identifier
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.observability.http import ProblemError
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor

from billing_engine.billing_views import service as views
from billing_engine.billing_views.importing import Imported, read_script
from billing_engine.billing_views.model import (
    MAX_SQL_CHARACTERS,
    Dates,
    Definition,
    RegisteredView,
    ViewFailedError,
    ViewRefusedError,
)
from billing_engine.billing_views.running import ViewRunner
from billing_engine.billing_views.views import DEFINITION, BriefView, ImportAnswer, RegisteredAnswer, VersionsView

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]
Given = Annotated[Definition, Body(openapi_examples={"view": {"value": DEFINITION}})]


class ImportRequest(BaseModel):
    """A script of an older panel, and what it does not say, or what shall be said instead."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"script": "EXEC sp_BillingUnit_Manage @UnitLabel='Excess', ..."}]},
    )

    script: str = Field(min_length=1, max_length=MAX_SQL_CHARACTERS)
    name: str | None = None
    service: str | None = None
    plan_type: str | None = None
    label: str | None = None
    quantity_column: str | None = None
    sql: str | None = None


def billing_views_router(
    pool: asyncpg.Pool[asyncpg.Record],
    unit_of_work: Callable[[], AbstractAsyncContextManager[UnitOfWork]],
    dates: Callable[[], Dates],
    runner: ViewRunner,
) -> APIRouter:
    """``/v1/billing-views``; a view is tried with the ``dates`` of a batch of today."""
    router = APIRouter(prefix="/v1/billing-views", tags=["billing views"])

    @router.get("", responses=problems(422))
    async def newest(
        _: Viewer,
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
        after: After = None,
    ) -> list[BriefView]:
        """Every view in its newest version, by name, without its SQL."""
        cursor = read_cursor(after, str)
        async with pool.acquire() as connection:
            found = await views.listing(connection, after=cursor[0] if cursor is not None else None, limit=limit + 1)
        shown = page(request, response, found, limit, lambda view: cursor_of(view.name))
        return [BriefView.model_validate(_brief(view)) for view in shown]

    @router.get("/{name}", responses=problems(404, 422))
    async def one(name: Identifier, _: Viewer) -> VersionsView:
        """All versions of a view, newest first, with the SQL as it was given and as it runs."""
        async with pool.acquire() as connection:
            found = await views.versions(connection, name)
        if not found:
            raise ProblemError(404, "Unknown view", f"there is no view {name!r}")
        return VersionsView.model_validate({"name": name, "versions": [asdict(view) for view in found]})

    @router.post("", status_code=201)
    async def register(given: Given, who: Administrator) -> RegisteredAnswer:
        """Look at a view, run it, check what it gives, and keep it as a new version."""
        with _problems():
            done = await views.register(pool, unit_of_work, runner, given, dates=dates(), by=who.name)
        return RegisteredAnswer.model_validate(_told(done))

    @router.post("/import", status_code=201)
    async def read(request: ImportRequest, who: Administrator) -> ImportAnswer:
        """Register what a script says that calls ``sp_BillingUnit_Manage``."""
        answers = []
        with _problems():
            found = read_script(request.script)
            for imported, given in [(one, _definition(request, one)) for one in found]:
                done = await views.register(pool, unit_of_work, runner, given, dates=dates(), by=who.name)
                answers.append(_told(done) | {"ignored": imported.ignored})
        return ImportAnswer.model_validate({"registered": answers})

    return router


def _definition(request: ImportRequest, found: Imported) -> Definition:
    said: dict[str, str | None] = {
        "name": request.name or found.name,
        "service": request.service or found.service,
        "plan_type": request.plan_type or found.plan_type,
        "label": request.label or found.label,
        "quantity_column": request.quantity_column or found.quantity_column,
        "sql": request.sql or found.sql,
    }
    if missing := [name for name, value in said.items() if not value]:
        raise ViewRefusedError([f"neither the script nor the request says: {', '.join(missing)}"], missing[0])
    try:
        return Definition.model_validate(said | {"dialect": "tsql"})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ViewRefusedError([str(first["msg"])], ".".join(str(part) for part in first["loc"])) from None


@contextmanager
def _problems() -> Iterator[None]:
    """The refusals, as problem details."""
    try:
        yield
    except ViewRefusedError as error:
        errors = [{"field": error.field, "message": reason} for reason in error.reasons]
        raise ProblemError(422, "The view is refused", str(error), errors) from None
    except ViewFailedError as error:
        errors = [{"field": "sql", "message": error.reason}]
        raise ProblemError(422, "The view does not give what a billing unit needs", str(error), errors) from None


def _brief(view: RegisteredView) -> dict[str, Any]:
    fields = asdict(view)
    return {name: value for name, value in fields.items() if name not in {"sql", "source_sql"}}


def _told(done: views.Registered) -> dict[str, Any]:
    return _brief(done.view) | {"changed": done.changed, "rows": done.rows, "warnings": done.warnings}
