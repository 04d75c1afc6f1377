"""The provider's own words over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Annotated, Literal

import asyncpg
from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.audit import Author
from tallyport.clock import Clock
from tallyport.contracts.actions import ActionRequest, Actor, PlanAdded, PlanChangedFor
from tallyport.contracts.base import Identifier
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.rest.openapi import problems
from tallyport.rest.problems import ProblemError
from tallyport.rest.reasons import Reason

from notifier.confirmations.service import filling_of
from notifier.messages import service
from notifier.messages.model import PLACES, Template, TemplateError, direction
from notifier.messages.service import Messages
from notifier.prices.service import quote_for

UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Advanced = Annotated[Principal, Depends(require(Role.PROVIDER_ADVANCED_ADMINISTRATOR, privileged=True))]
ActionName = Annotated[str, Path(max_length=100, pattern=r"^([*]|[^\s\x00]+)$", description="an action, or * for any")]
Language = Annotated[str, Path(max_length=35, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
_TEXT = "**{action}** for {customer}: {difference} a month. Open until {valid_until}."


class Words(BaseModel):
    """A message with its places in braces; Markdown has paragraphs, emphasis and lists here, and no HTML."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": _TEXT, "format": "markdown"}]})

    text: Annotated[str, Field(max_length=2000, description=f"places: {', '.join(PLACES)}")]
    format: Literal["plain", "markdown"] = "plain"

    def template(self) -> Template:
        """The words as they are filled."""
        return Template(self.text, self.format == "markdown")


class WordsView(Words):
    """The words of an action in a language, and who wrote them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"action": "create_user", "language": "en", "text": _TEXT, "format": "markdown",
                 "changed_by": "operator", "changed_at": "2026-11-23T09:30:00Z"}
            ]
        }
    )  # fmt: skip

    action: str
    language: str
    changed_by: str
    changed_at: datetime


class Preview(BaseModel):
    """What to show a message with: a customer and items give the numbers. Without ``words``, those that hold now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"customer": "cust-002", "items": [{"plan": "VB-PLUS", "quantity_delta": "1"}], "language": "de",
                 "user": "admin@cust-002.example", "words": {"text": _TEXT, "format": "markdown"}}
            ]
        }
    )  # fmt: skip

    customer: Identifier
    items: Annotated[list[PlanAdded | PlanChangedFor], Field(min_length=1, max_length=1000)]
    language: Annotated[str, Field(max_length=35)] | None = None
    user: Identifier = "somebody"
    words: Words | None = None


class PreviewView(BaseModel):
    """A message as it would be shown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"language": "de", "direction": "ltr", "text": "Einen Benutzer anlegen ...", "html": "<p>...</p>"}
            ]
        }
    )

    language: str
    direction: Literal["ltr", "rtl"]
    text: str
    html: str


def messages_router(
    pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory, messages: Messages, clock: Clock
) -> APIRouter:
    """``/v1/messages``."""
    router = APIRouter(prefix="/v1/messages", tags=["messages"])

    @router.get("")
    async def written(_: Viewer) -> list[WordsView]:
        """The words that the provider has written; all others are those that come with the gate."""
        async with pool.acquire() as connection:
            return [WordsView(**one) for one in await service.written(connection)]

    @router.put("/{action}/{language}", responses=problems(422))
    async def write(action: ActionName, language: Language, words: Words, who: Advanced, reason: Reason) -> Words:
        """Write the message of an action in a language; what could not be filled is refused."""
        try:
            async with unit_of_work() as uow:
                by = Author(who.name, reason, who.organisation)
                await service.write(uow, action, language, words.template(), by=by)
        except TemplateError as error:
            raise _unusable(error) from None
        return words

    @router.delete("/{action}/{language}", status_code=204, responses=problems(404, 422))
    async def unwrite(action: ActionName, language: Language, who: Advanced, reason: Reason) -> Response:
        """Go back to the words that come with the gate."""
        async with unit_of_work() as uow:
            by = Author(who.name, reason, who.organisation)
            if not await service.unwrite(uow, action, language, by=by):
                raise ProblemError(404, "Unknown message", f"nobody has written {action!r} in {language!r}")
        return Response(status_code=204)

    @router.post("/{action}/preview", responses=problems(404))
    async def preview(action: ActionName, wanted: Preview, _: Viewer) -> PreviewView:
        """Show a message with the real numbers of a customer, before or after it is saved."""
        draft = wanted.words.template() if wanted.words is not None else None
        try:
            if draft is not None:
                draft.check()
        except TemplateError as error:
            raise _unusable(error) from None
        now = clock.now()
        actor = Actor(id=wanted.user, role="customer_administrator")
        request = ActionRequest(id="preview", action=action, customer=wanted.customer, actor=actor, items=wanted.items)
        async with pool.acquire() as connection:
            quoted = await quote_for(connection, wanted.customer, wanted.items, now.date())
            if quoted is None:
                raise ProblemError(404, "Unknown customer", f"there is no customer {wanted.customer!r}")
            filling = filling_of(request, quoted, now + timedelta(hours=1))
            found = await messages.compose(
                connection, request, filling, wanted.language, quoted.customer.language, draft=draft
            )
        return PreviewView.model_validate(
            {
                "language": found.language,
                "direction": direction(found.language),
                "text": found.message.text,
                "html": found.message.html,
            }
        )

    return router


def _unusable(error: TemplateError) -> ProblemError:
    return ProblemError(422, "The message cannot be used", f"text: {error}", [{"field": "text", "message": str(error)}])
