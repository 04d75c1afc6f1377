"""Service schemas over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.observability.http import ProblemError

from billing_engine.billing_units import service as schemas


class PublishRequest(BaseModel):
    """Why a new version is published; kept with it."""

    reason: str = Field(default="", max_length=500)


def billing_units_router(
    pool: asyncpg.Pool[asyncpg.Record], unit_of_work: Callable[[], AbstractAsyncContextManager[UnitOfWork]]
) -> APIRouter:
    """``/v1/services/{service}/schema``."""
    router = APIRouter(prefix="/v1/services/{service}/schema")

    @router.get("")
    async def show(service: str, _: Annotated[Principal, Depends(require(Role.VIEWER))]) -> dict[str, Any]:
        """The draft, and the version that transfers use."""
        async with pool.acquire() as connection:
            try:
                units = await schemas.draft(connection, service)
            except schemas.UnknownServiceError as error:
                raise ProblemError(404, "Unknown service", str(error)) from None
            published = await schemas.newest(connection, service)
        return {"service": service, "draft": [unit.model_dump() for unit in units], "published": published}

    @router.post("/publish")
    async def publish(
        service: str,
        request: PublishRequest,
        who: Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))],
    ) -> dict[str, Any]:
        """Make the draft the version that the next transfer uses."""
        try:
            async with unit_of_work() as uow:
                result = await schemas.publish(uow, service, by=who.name, reason=request.reason)
        except schemas.UnknownServiceError as error:
            raise ProblemError(404, "Unknown service", str(error)) from None
        except schemas.UnpublishableSchemaError as error:
            raise ProblemError(422, "The schema cannot be published", str(error)) from None
        units = [unit.model_dump() for unit in result.units]
        return {"service": service, "version": result.version, "changed": result.changed, "units": units}

    return router
