"""Adjustments over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import DecimalText, Identifier
from tallyport.money import plain
from tallyport.rest.openapi import problems
from tallyport.rest.problems import ProblemError

from billing_engine.adjustments.model import Adjustment
from billing_engine.adjustments.service import (
    AdjustmentRefusedError,
    AdjustmentService,
    UnknownAdjustmentError,
    listed,
)

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]


_REQUEST: Final[dict[str, Any]] = {
    "customer": "cust-002", "amount": "-12.50", "currency": "EUR", "description": "Outage of 3 May",
    "reason": "goodwill", "service": "HE", "reference": "T-1234",
}  # fmt: skip


class AdjustmentRequest(BaseModel):
    """A charge, or with a negative amount a credit; the author is whose token it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REQUEST]})

    customer: Identifier
    amount: DecimalText
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    description: str = Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")
    reason: str = Field(max_length=50, pattern=r"^[a-z0-9][a-z0-9_-]*$")
    service: Identifier | None = None
    reference: str | None = Field(default=None, max_length=200, pattern=r"^[^\x00]*$")


class AdjustmentView(BaseModel):
    """What was said by hand, and what has become of it: open, approved, being_billed, billed or withdrawn."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 7, **_REQUEST, "author": "ann", "created_at": "2026-11-22T09:30:00Z", "approved_by": "bob",
                    "approved_at": "2026-11-22T10:00:00Z", "withdrawn_by": None, "withdrawn_at": None,
                    "batch_date": "2026-11-23", "state": "billed",
                }
            ]
        }
    )  # fmt: skip

    id: int
    customer: str
    amount: DecimalText
    currency: str
    description: str
    reason: str
    service: str | None
    reference: str | None
    author: str
    created_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    withdrawn_by: str | None
    withdrawn_at: datetime | None
    batch_date: date | None
    state: str


def adjustments_router(pool: asyncpg.Pool[asyncpg.Record], service: AdjustmentService) -> APIRouter:
    """``/v1/adjustments``."""
    router = APIRouter(prefix="/v1/adjustments")

    @router.post("", status_code=201, responses=problems(404, 409))
    async def create(request: AdjustmentRequest, who: Administrator) -> AdjustmentView:
        """Enter an adjustment; the next batch bills it, once it is approved where that is asked for."""
        with _problems():
            return _view(await service.create(**dict(request), author=who.name))

    @router.post("/{number}/approve", responses=problems(404, 409, 422))
    async def approve(number: int, who: Administrator) -> AdjustmentView:
        """A second person agrees to an adjustment."""
        with _problems():
            return _view(await service.approve(number, by=who.name))

    @router.post("/{number}/withdraw", responses=problems(404, 409, 422))
    async def withdraw(number: int, who: Administrator) -> AdjustmentView:
        """Take back what no batch has billed."""
        with _problems():
            return _view(await service.withdraw(number, by=who.name))

    @router.get("", responses=problems(422))
    async def adjustments(
        _: Viewer, customer: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> list[AdjustmentView]:
        """The newest adjustments and how they stand."""
        async with pool.acquire() as connection:
            return [_view(one) for one in await listed(connection, customer, limit)]

    return router


def _view(one: Adjustment) -> AdjustmentView:
    return AdjustmentView.model_validate(asdict(one) | {"amount": plain(one.amount)})


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except UnknownAdjustmentError as error:
        raise ProblemError(404, "Unknown adjustment or customer", str(error)) from None
    except AdjustmentRefusedError as error:
        raise ProblemError(409, "The adjustment is refused", str(error)) from None
