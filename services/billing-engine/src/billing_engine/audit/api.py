"""The audit log over HTTP, for the provider's administrator."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor

from billing_engine.audit import service
from billing_engine.audit.model import Entry

Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]
Wanted = Annotated[str | None, Query(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
_EXAMPLE: Final[dict[str, Any]] = {
    "audit_no": 41,
    "at": "2026-11-23T09:30:00.123456Z",
    "who": "var-north",
    "organisation": "var-north",
    "action": "changed",
    "entity": "override:HE-GOLD:organisation:acme",
    "before": {"plan": "HE-GOLD", "organisation": "acme", "properties": {"sales_price": "5.00"}},
    "after": {"plan": "HE-GOLD", "organisation": "acme", "properties": {"sales_price": "5.20"}},
    "reason": "list of January",
    "previous_sha256": "4f1d...",
    "sha256": "9b02...",
}


class EntryView(BaseModel):
    """A change: who, when, what it was, what it is, why; and the hashes that hold the log together."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    audit_no: int
    at: datetime
    who: str
    organisation: str | None
    action: str
    entity: str
    before: Any
    after: Any
    reason: str
    previous_sha256: str
    sha256: str


class ChainView(BaseModel):
    """What following the log found. Whoever keeps number and hash sees later that nothing was cut off."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ok": True, "entries": 41, "sha256": "9b02...", "first_difference": None}]}
    )

    ok: bool
    entries: int = Field(description="how many follow each other from the first on")
    sha256: str = Field(description="the hash of the last of them")
    first_difference: str | None


def audit_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/audit``."""
    router = APIRouter(prefix="/v1/audit", tags=["audit"])

    @router.get("", responses=problems(422))
    async def listing(
        _: Administrator,
        *,
        request: Request,
        response: Response,
        entity: Wanted = None,
        who: Wanted = None,
        since: AwareDatetime | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: After = None,
    ) -> list[EntryView]:
        """Changes, newest first: who, when, what it was, what it is, why.

        `entity` is a whole name, or the beginning of one up to a colon: `override:HE-GOLD` finds that plan's overrides.
        """
        cursor = read_cursor(after, int)
        async with pool.acquire() as connection:
            found = await service.entries(
                connection,
                limit=limit + 1,
                before=cursor[0] if cursor is not None else None,
                entity=entity,
                who=who,
                since=since,
            )
        return [_view(one) for one in page(request, response, found, limit, lambda one: cursor_of(one.audit_no))]

    @router.get("/verify", responses=problems(422))
    async def verify(
        _: Administrator, expected: Annotated[str | None, Query(pattern=r"^[1-9][0-9]{0,17}:[0-9a-f]{64}$")] = None
    ) -> ChainView:
        """Follow the hashes from the first entry to the last; a changed or missing one is named.

        `expected` is `number:sha256` of an earlier answer. That its end was cut off, a log cannot tell by itself.
        """
        number, _colon, sha256 = (expected or "").partition(":")
        async with pool.acquire() as connection:
            chain = await service.verify(connection, (int(number), sha256) if expected is not None else None)
        return ChainView(ok=chain.first_difference is None, **asdict(chain))

    return router


def _view(entry: Entry) -> EntryView:
    values = {part: json.loads(text) if text is not None else None
              for part, text in (("before", entry.before), ("after", entry.after))}  # fmt: skip
    return EntryView.model_validate(asdict(entry) | values)
