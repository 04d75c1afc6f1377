"""The catalogue over HTTP: the same document that the YAML file holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Body, Depends, Response
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.catalog import CatalogDocument
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.observability.http import ProblemError
from tallyport.rest.etags import Conditions, etag_of
from tallyport.rest.openapi import problems
from tallyport.rest.reasons import Reason

from billing_engine.audit.authors import author_of
from billing_engine.catalog import service
from billing_engine.catalog.views import CATALOG_EXAMPLE, ChangesView

UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]
Document = Annotated[CatalogDocument, Body(openapi_examples={"catalogue": {"value": CATALOG_EXAMPLE}})]


def catalog_router(
    pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory, *, require_if_match: bool = False
) -> APIRouter:
    """``/v1/catalog``."""
    router = APIRouter(prefix="/v1/catalog", tags=["catalogue"])

    @router.get("", responses={200: {"content": {"application/json": {"example": CATALOG_EXAMPLE}}}})
    async def read(_: Viewer, conditions: Conditions, response: Response) -> Any:
        """The whole catalogue; its billing units are the drafts."""
        async with pool.acquire() as connection:
            content = _content(await service.read(connection))
        response.headers["ETag"] = etag_of(content)
        return conditions.not_modified(etag_of(content)) or content

    @router.post("/diff")
    async def diff(document: Document, _: Viewer, response: Response) -> ChangesView:
        """What applying the document would change; nothing is written."""
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            tag = etag_of(_content(await service.read(connection)))
            try:
                changes = await service.compare(connection, document)
            except service.InvalidCatalogError as error:
                raise invalid(error) from None
            warnings = await service.warnings(connection, document)
        response.headers["ETag"] = tag
        return _told(changes, warnings, tag)

    @router.put("", responses=problems(412, 428))
    async def apply(
        document: Document, who: Administrator, conditions: Conditions, reason: Reason, response: Response
    ) -> ChangesView:
        """Apply the document: all of it or nothing. Services it does not name stay as they are.

        With `If-Match` it is applied only to the catalogue that has that ETag, so that nobody's edit is lost.
        """

        def guard(before: CatalogDocument | None) -> None:
            conditions.check(etag_of(_content(before)), "the catalogue", required=require_if_match)

        try:
            async with unit_of_work() as uow:
                changes = await service.apply(uow, document, author_of(who, reason), guard)
                warnings = await service.warnings(uow.connection, document)
                tag = etag_of(_content(await service.read(uow.connection)))
        except service.InvalidCatalogError as error:
            raise invalid(error) from None
        response.headers["ETag"] = tag
        return _told(changes, warnings, tag)

    return router


def _content(document: CatalogDocument | None) -> Any:
    return document.model_dump(mode="json", exclude_none=True) if document is not None else {"services": []}


def _told(changes: list[Any], warnings: list[Any], tag: str) -> ChangesView:
    return ChangesView.model_validate(
        {"changes": [asdict(one) for one in changes], "warnings": [asdict(one) for one in warnings], "etag": tag}
    )


def invalid(error: service.InvalidCatalogError, title: str = "The catalogue cannot be applied") -> ProblemError:
    """The refusal with the path of each fault."""
    errors = [{"field": fault.field, "message": fault.message} for fault in error.faults]
    return ProblemError(422, title, str(error), errors)
