"""The audit log over HTTP, for the provider's administrator."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.audit import Entry
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor

from notifier.audit import service

Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]
Wanted = Annotated[str | None, Query(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
_FORMULA: Final = frozenset("=+@\t\r")
_EXAMPLE: Final[dict[str, Any]] = {
    "audit_no": 41,
    "at": "2026-11-23T09:30:00.123456Z",
    "who": "operator",
    "organisation": None,
    "action": "changed",
    "entity": "action:create_user",
    "before": {"ticked": False},
    "after": {"ticked": True},
    "reason": "agreed with sales",
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
        """What happened, newest first: who, when, what it was, what it is, why.

        `entity` is a whole name (`request:42`), or the beginning of one up to a colon: `switch` finds all switches.
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

    @router.get("/export", responses=problems(422), response_class=Response)
    async def export(
        _: Administrator, form: Annotated[Literal["csv", "json"], Query(alias="format")] = "csv"
    ) -> Response:
        """The whole log, oldest first, as CSV with a heading or as JSON lines; its hashes can be followed offline."""
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
        name = f"audit.{'csv' if form == 'csv' else 'ndjson'}"
        return StreamingResponse(
            _lines(pool, form), media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
        )

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


async def _lines(pool: asyncpg.Pool[asyncpg.Record], form: str) -> AsyncIterator[str]:
    columns = [field.name for field in fields(Entry)]
    if form == "csv":
        yield _csv(columns)
    async with pool.acquire() as connection:
        async for entry in service.whole(connection):
            values = asdict(entry) | {"at": entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
            yield _csv(list(values.values())) if form == "csv" else f"{json.dumps(values, ensure_ascii=False)}\n"


def _csv(values: list[Any]) -> str:
    line = io.StringIO()
    # A cell that begins like a formula is one to a spreadsheet program; the apostrophe keeps it text.
    csv.writer(line).writerow(f"'{one}" if isinstance(one, str) and one[:1] in _FORMULA else one for one in values)
    return line.getvalue()


def _view(entry: Entry) -> EntryView:
    values = {part: json.loads(text) if text is not None else None
              for part, text in (("before", entry.before), ("after", entry.after))}  # fmt: skip
    return EntryView.model_validate(asdict(entry) | values)
