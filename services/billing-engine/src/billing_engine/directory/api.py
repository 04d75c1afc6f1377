"""The directory over HTTP: who is there, and what waits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from tallyport.access.tokens import Principal, Role, require
from tallyport.observability.http import ProblemError
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor

from billing_engine.directory import store, tree

Reader = Annotated[
    Principal, Depends(require(Role.VIEWER, Role.RESELLER_ADMINISTRATOR, Role.RESELLER_VIEWER, bounded=True))
]


class WaitingEntity(BaseModel):
    """An entity that names another which has not been heard of."""

    key: str
    waits_for: str
    since: datetime


class WaitingView(BaseModel):
    """What waits, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "entities": [
                        {"key": "site:acme-1", "waits_for": "organisation:acme", "since": "2026-11-23T09:30:00Z"}
                    ]
                }
            ]
        }
    )

    entities: list[WaitingEntity]


class OrganisationView(BaseModel):
    """An organisation; the parent of a token's own is not told."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "acme",
                    "type": "customer",
                    "parent": "var-north",
                    "name": "Acme",
                    "currency": "EUR",
                    "location": None,
                }
            ]
        }
    )

    id: str
    type: str
    parent: str | None
    name: str
    currency: str | None
    location: str | None


def directory_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/directory`` and ``/v1/organisations``."""
    router = APIRouter(prefix="/v1", tags=["directory"])

    @router.get("/directory/waiting", responses=problems(422))
    async def waiting(
        _: Annotated[Principal, Depends(require(Role.VIEWER))],
        request: Request,
        response: Response,
        limit: int = 100,
        after: After = None,
    ) -> WaitingView:
        """Entities whose parent has not been heard of yet."""
        some = min(max(limit, 1), 1000)
        async with pool.acquire() as connection:
            rows = await store.waiting(connection, _moment(after), some + 1)
        shown = page(
            request, response, rows, some, lambda row: cursor_of(row["since"].isoformat(), str(row["entity_key"]))
        )
        return WaitingView(
            entities=[
                WaitingEntity(key=row["entity_key"], waits_for=row["waits_for"], since=row["since"]) for row in shown
            ]
        )

    @router.get("/organisations", responses=problems(422))
    async def organisations(
        who: Reader,
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: After = None,
    ) -> list[OrganisationView]:
        """The organisations by id: all of them, or a reseller's own and those below it."""
        cursor = read_cursor(after, str)
        async with pool.acquire() as connection:
            rows = await tree.organisations(
                connection, within=who.organisation, after=cursor[0] if cursor is not None else None, limit=limit + 1
            )
        shown = page(request, response, rows, limit, lambda row: cursor_of(row["id"]))
        return [OrganisationView.model_validate(row) for row in shown]

    return router


def _moment(after: str | None) -> tuple[datetime, str] | None:
    cursor = read_cursor(after, str, str)
    if cursor is None:
        return None
    try:
        return datetime.fromisoformat(cursor[0]), cursor[1]
    except ValueError:
        raise ProblemError(422, "The request is not valid", "after: this is not a cursor of this list") from None
