"""Explanations over HTTP."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from tallyport.access.tokens import Principal, Role, require
from tallyport.rest.openapi import problems
from tallyport.rest.problems import ProblemError

from billing_engine.transfers.explanations.service import UnknownLineError, explain

EXAMPLE: Final[dict[str, Any]] = {
    "line": {
        "customer_id": "acme",
        "unit": "mb",
        "object_id": "ann",
        "quantity": "2",
        "sales_price": "0.7",
        "total": "1.40",
    },
    "batch": {"batch_date": "2026-11-23", "revision": 1, "chunk": 3},
    "state_of": "2026-11-23T02:30:00Z",
    "quantity": {"counter": "MB", "day": "2026-11-22", "samples": [{"value": "2", "source": "/test"}]},
    "price": {"property": "sales_price", "source": "organisation:acme", "value": "0.7"},
    "rules": [],
}
Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]


class ExplanationView(BaseModel):
    """A frozen line, and where it and its numbers come from."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [EXAMPLE]})

    line: dict[str, Any]
    batch: dict[str, Any]


def explanations_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/lines``."""
    router = APIRouter(prefix="/v1")

    @router.get("/lines/{batch_date}/{customer}/{unit}/{object_id:path}", responses=problems(404, 422))
    async def one(batch_date: date, customer: str, unit: str, object_id: str, _: Viewer) -> list[ExplanationView]:
        """The lines of a batch about one object, and where their numbers come from."""
        try:
            async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
                found = await explain(connection, batch_date, customer, unit, object_id)
        except UnknownLineError as error:
            raise ProblemError(404, "Unknown line", str(error)) from None
        return [ExplanationView.model_validate(told) for told in found]

    return router
