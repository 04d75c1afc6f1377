"""The warehouse over HTTP: what is loaded, and the proof that it was never changed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import DecimalText, Identifier
from tallyport.money import plain
from tallyport.observability.http import ProblemError
from tallyport.rest.openapi import problems

from report_builder.warehouse import counting, reading, service
from report_builder.warehouse.store import UnknownBatchError

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]


Reader = Annotated[
    Principal,
    Depends(
        require(
            Role.VIEWER,
            Role.SERVICE,
            Role.CUSTOMER_ADMINISTRATOR,
            Role.RESELLER_ADMINISTRATOR,
            Role.RESELLER_VIEWER,
            bounded=True,
        )
    ),
]
_BUNDLES: Final[dict[str, Any]] = {
    "customer": "cust-001",
    "name": "Northwind",
    "batch_date": "2026-11-22",
    "revision": 1,
    "bundles": [{"service": "TEL", "plan": "UC-ADV", "name": "Advanced", "allocated": "20", "used": "17"}],
}


class BundleView(BaseModel):
    """What a customer was given of a plan, and how much of it is used; null is "no data"."""

    model_config = ConfigDict(from_attributes=True)

    service: str
    plan: str
    name: str | None
    allocated: DecimalText | None
    used: DecimalText | None


class BundlesView(BaseModel):
    """The bundles of a customer, as a batch froze them."""

    model_config = ConfigDict(json_schema_extra={"examples": [_BUNDLES]})

    customer: str
    name: str
    batch_date: date
    revision: int
    bundles: list[BundleView]


def customers_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/customers``."""
    router = APIRouter(prefix="/v1/customers")

    @router.get("/{customer}/bundles", responses=problems(404))
    async def bundles(
        customer: Identifier, who: Reader, day: Annotated[date | None, Query(alias="date")] = None
    ) -> BundlesView:
        """What a customer was given of each bundle, and what it uses, by the batch of a date (or the newest)."""
        async with pool.acquire() as connection:
            session: Any = connection
            if day is None:
                batch = await reading.newest_batch(session)
            else:
                loaded = await reading.current_batches(session, day, day)
                batch = loaded[0].key if loaded else None
            found = await counting.bundles_of(session, batch, customer, who.organisation) if batch else None
        if batch is None or found is None:
            detail = f"there is no customer {customer!r} in the batch of {day or 'the newest date'}"
            raise ProblemError(404, "Unknown customer", detail)
        return BundlesView(
            customer=customer,
            name=found[0],
            batch_date=batch[0],
            revision=batch[1],
            bundles=[BundleView.model_validate(one) for one in found[1]],
        )

    return router


def warehouse_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/batches``."""
    router = APIRouter(prefix="/v1/batches")

    @router.get("")
    async def batches(
        _: Viewer,
        from_date: Annotated[date, Query(alias="from")] = date.min,
        to_date: Annotated[date, Query(alias="to")] = date.max,
    ) -> list[dict[str, Any]]:
        """Every revision of every date of the period, both ends inclusive."""
        async with pool.acquire() as connection:
            found = await service.batches(connection, from_date, to_date)  # type: ignore[arg-type]  # a proxy of one
        return [
            {**asdict(batch), "totals": {code: plain(amount) for code, amount in batch.totals.items()}}
            for batch in found
        ]

    @router.post("/{batch_date}/{revision}/verify")
    async def prove(batch_date: date, revision: int, _: Viewer) -> dict[str, Any]:
        """Make every chunk's bytes again from the columns and compare the hashes."""
        try:
            async with pool.acquire() as connection:
                return asdict(await service.verify(connection, (batch_date, revision)))  # type: ignore[arg-type]
        except UnknownBatchError as error:
            raise ProblemError(404, "Unknown batch", str(error)) from None

    return router
