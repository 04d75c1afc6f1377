"""The catalogue over HTTP: the same document that the YAML file holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.catalog import CatalogDocument
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.observability.http import ProblemError

from billing_engine.catalog import service

UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]


def catalog_router(pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory) -> APIRouter:
    """``/v1/catalog``."""
    router = APIRouter(prefix="/v1/catalog")

    @router.get("")
    async def read(_: Viewer) -> dict[str, Any]:
        """The whole catalogue; its billing units are the drafts."""
        async with pool.acquire() as connection:
            document = await service.read(connection)
        return document.model_dump(mode="json", exclude_none=True) if document is not None else {"services": []}

    @router.post("/diff")
    async def diff(document: CatalogDocument, _: Viewer) -> dict[str, Any]:
        """What applying the document would change; nothing is written."""
        async with pool.acquire() as connection:
            try:
                changes = await service.compare(connection, document)
            except service.InvalidCatalogError as error:
                raise _problem(error) from None
        return {"changes": [asdict(change) for change in changes]}

    @router.put("")
    async def apply(document: CatalogDocument, _: Administrator) -> dict[str, Any]:
        """Apply the document: all of it or nothing. Services it does not name stay as they are."""
        try:
            async with unit_of_work() as uow:
                changes = await service.apply(uow, document)
        except service.InvalidCatalogError as error:
            raise _problem(error) from None
        return {"changes": [asdict(change) for change in changes]}

    return router


def _problem(error: service.InvalidCatalogError) -> ProblemError:
    errors = [{"field": fault.field, "message": fault.message} for fault in error.faults]
    return ProblemError(422, "The catalogue cannot be applied", str(error), errors)
