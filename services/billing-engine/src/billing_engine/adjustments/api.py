"""Adjustments over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import DecimalText, Identifier
from tallyport.money import plain
from tallyport.observability.http import ProblemError

from billing_engine.adjustments.model import Adjustment
from billing_engine.adjustments.service import (
    AdjustmentRefusedError,
    AdjustmentService,
    UnknownAdjustmentError,
    listed,
)

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]


class AdjustmentRequest(BaseModel):
    """A charge, or with a negative amount a credit; the author is whose token it is."""

    customer: Identifier
    amount: DecimalText
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    description: str = Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")
    reason: str = Field(max_length=50, pattern=r"^[a-z0-9][a-z0-9_-]*$")
    service: Identifier | None = None
    reference: str | None = Field(default=None, max_length=200, pattern=r"^[^\x00]*$")


def adjustments_router(pool: asyncpg.Pool[asyncpg.Record], service: AdjustmentService) -> APIRouter:
    """``/v1/adjustments``."""
    router = APIRouter(prefix="/v1/adjustments")

    @router.post("", status_code=201)
    async def create(request: AdjustmentRequest, who: Administrator) -> dict[str, Any]:
        """Enter an adjustment; the next batch bills it, once it is approved where that is asked for."""
        with _problems():
            return _view(await service.create(**dict(request), author=who.name))

    @router.post("/{number}/approve")
    async def approve(number: int, who: Administrator) -> dict[str, Any]:
        """A second person agrees."""
        with _problems():
            return _view(await service.approve(number, by=who.name))

    @router.post("/{number}/withdraw")
    async def withdraw(number: int, who: Administrator) -> dict[str, Any]:
        """Take back what no batch has billed."""
        with _problems():
            return _view(await service.withdraw(number, by=who.name))

    @router.get("")
    async def adjustments(
        _: Viewer, customer: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> list[dict[str, Any]]:
        """The newest adjustments and how they stand."""
        async with pool.acquire() as connection:
            return [_view(one) for one in await listed(connection, customer, limit)]

    return router


def _view(one: Adjustment) -> dict[str, Any]:
    return asdict(one) | {"amount": plain(one.amount)}


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except UnknownAdjustmentError as error:
        raise ProblemError(404, "Unknown adjustment or customer", str(error)) from None
    except AdjustmentRefusedError as error:
        raise ProblemError(409, "The adjustment is refused", str(error)) from None
