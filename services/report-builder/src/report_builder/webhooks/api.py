"""Webhooks over HTTP: how they stand, and sending again. What they are is said in a file."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.observability.http import ProblemError
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor

from report_builder.webhooks.model import EventType
from report_builder.webhooks.service import UnknownWebhookError, Webhooks
from report_builder.webhooks.store import DeliveryState

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]

_DELIVERY: Final[dict[str, Any]] = {
    "id": 17,
    "event_id": "019aaf0c-6f2e-7c1a-8f2f-3c8f0a4e7d11",
    "type": "report.ready",
    "state": "waiting",
    "attempts": 2,
    "status": 503,
    "error": "the receiver answered 503",
    "created_at": "2026-11-22T06:31:02Z",
    "next_at": "2026-11-22T06:36:07Z",
    "settled_at": None,
}
_WEBHOOK: Final[dict[str, Any]] = {
    "name": "erp",
    "url": "https://erp.example/hooks/tallyport",
    "events": ["report.ready"],
    "organisation": None,
    "waiting": 1,
    "delivered": 40,
    "given_up": 0,
    "last_delivered_at": "2026-11-21T06:31:02Z",
}


class WebhookView(BaseModel):
    """A receiver and how it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WEBHOOK]})

    name: str
    url: str
    events: list[EventType]
    organisation: str | None
    waiting: int
    delivered: int
    given_up: int
    last_delivered_at: datetime | None


class DeliveryView(BaseModel):
    """A message and what became of it."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_DELIVERY]})

    id: int
    event_id: str
    type: EventType
    state: DeliveryState
    attempts: int
    status: int | None
    error: str | None
    created_at: datetime
    next_at: datetime
    settled_at: datetime | None


class Replay(BaseModel):
    """What to send again."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"since": "2026-11-20T00:00:00Z", "only_given_up": True}]}
    )

    since: AwareDatetime
    only_given_up: bool = Field(default=True, description="false: what was delivered too")


class Replayed(BaseModel):
    """How many messages are sent again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"messages": 3}]})

    messages: int


def webhooks_router(webhooks: Webhooks, pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/webhooks``."""
    router = APIRouter(prefix="/v1/webhooks")

    @router.get("")
    async def listing(_: Viewer) -> list[WebhookView]:
        """The receivers, and how each stands."""
        async with pool.acquire() as connection:
            found = await webhooks.standing(connection)
        return [
            WebhookView(
                name=one.name,
                url=one.place,
                events=list(one.events),
                organisation=one.organisation,
                waiting=counts.waiting,
                delivered=counts.delivered,
                given_up=counts.given_up,
                last_delivered_at=counts.last_delivered_at,
            )
            for one, counts in found
        ]

    @router.get("/{name}/deliveries", responses=problems(404))
    async def deliveries(
        name: str,
        _: Viewer,
        *,
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: After = None,
    ) -> list[DeliveryView]:
        """The messages to one receiver, newest first, and what became of them."""
        cursor = read_cursor(after, int)
        try:
            async with pool.acquire() as connection:
                found = await webhooks.deliveries(
                    connection, name, before=cursor[0] if cursor else None, limit=limit + 1
                )
        except UnknownWebhookError as error:
            raise ProblemError(404, "Unknown webhook", str(error)) from None
        shown = page(request, response, found, limit, lambda one: cursor_of(one.id))
        return [DeliveryView.model_validate(one) for one in shown]

    @router.post("/{name}/replay", responses=problems(404))
    async def replay(name: str, _: Administrator, what: Replay) -> Replayed:
        """Send again what was given up, or everything, since a moment. Receivers know a repetition by its id."""
        try:
            async with pool.acquire() as connection:
                found = await webhooks.replay(connection, name, since=what.since, only_given_up=what.only_given_up)
        except UnknownWebhookError as error:
            raise ProblemError(404, "Unknown webhook", str(error)) from None
        return Replayed(messages=found)

    return router
