"""Service schemas over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.money import plain
from tallyport.observability.http import ProblemError

from billing_engine.billing_units import service as schemas
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.model import Dates, RegisteredView, ViewFailedError
from billing_engine.billing_views.running import ViewRunner
from billing_engine.transfers.preview import Figures, Preview, UnknownCustomerError, preview

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]


class PublishRequest(BaseModel):
    """Why a new version is published; kept with it."""

    reason: str = Field(default="", max_length=500)


class RevertRequest(PublishRequest):
    """To which version to go back, and why."""

    version: int = Field(ge=1)


class PreviewRequest(BaseModel):
    """Whom to show: one customer, or the ``limit`` customers for whom most would change."""

    customer: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=0, le=1000)


def billing_units_router(
    pool: asyncpg.Pool[asyncpg.Record],
    unit_of_work: Callable[[], AbstractAsyncContextManager[UnitOfWork]],
    dates: Callable[[], Dates],
    views: ViewRunner,
) -> APIRouter:
    """``/v1/services/{service}/schema``; ``dates`` are those of a batch of today."""
    router = APIRouter(prefix="/v1/services/{service}/schema")

    @router.get("")
    async def show(service: str, _: Viewer) -> dict[str, Any]:
        """The draft, the version that transfers use, and the registered views that a unit may name."""
        with _problems():
            async with pool.acquire() as connection:
                units = await schemas.draft(connection, service)
                published = await schemas.newest(connection, service)
                known = (await billing_views.newest(connection)).values()
        return {
            "service": service,
            "draft": [unit.model_dump() for unit in units],
            "published": published,
            "views": [_view(view) for view in known if view.service == service],
        }

    @router.get("/diff")
    async def diff(service: str, _: Viewer) -> dict[str, Any]:
        """What publishing the draft would change, field by field."""
        with _problems():
            async with pool.acquire() as connection:
                changes = await schemas.compare(connection, service)
        return {"service": service, "changes": [asdict(change) for change in changes]}

    @router.get("/history")
    async def history(service: str, _: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
        """The versions, newest first: who published what, when and why."""
        with _problems():
            async with pool.acquire() as connection:
                versions = await schemas.history(connection, service, limit)
        return {"service": service, "versions": versions}

    @router.post("/preview")
    async def show_preview(service: str, request: PreviewRequest, _: Administrator) -> dict[str, Any]:
        """Today's lines by the draft beside those by the published version; nothing is written."""
        with _problems():
            async with pool.acquire() as connection:
                draft = await schemas.draft(connection, service)
                current = await schemas.newest(connection, service)
                draft = await billing_views.pinned(connection, draft)
                today = dates()
                published = schemas.units_of(current) if current is not None else []
                both = {"published": published, "draft": draft}
                found = await preview(connection, service, **both, dates=today, views=views, customer=request.customer)
        version = current["version"] if current is not None else None
        return {"service": service, "version": version, "usage_day": today.usage_day, **_told(found, request.limit)}

    @router.post("/publish")
    async def publish(service: str, request: PublishRequest, who: Administrator) -> dict[str, Any]:
        """Make the draft the version that the next transfer uses."""
        with _problems():
            async with unit_of_work() as uow:
                result = await schemas.publish(uow, service, by=who.name, reason=request.reason)
        return _published(service, result)

    @router.post("/revert")
    async def revert(service: str, request: RevertRequest, who: Administrator) -> dict[str, Any]:
        """Publish the units of an earlier version as a new one."""
        with _problems():
            async with unit_of_work() as uow:
                result = await schemas.revert(uow, service, request.version, by=who.name, reason=request.reason)
        return _published(service, result)

    return router


@contextmanager
def _problems() -> Iterator[None]:
    """The refusals of the use cases, as problem details."""
    try:
        yield
    except schemas.UnknownServiceError as error:
        raise ProblemError(404, "Unknown service", str(error)) from None
    except UnknownCustomerError as error:
        raise ProblemError(404, "Unknown customer", str(error)) from None
    except ViewFailedError as error:
        raise ProblemError(422, "A registered view failed", str(error)) from None
    except schemas.UnpublishableSchemaError as error:
        errors = [{"field": fault.field, "message": fault.message} for fault in error.faults]
        raise ProblemError(422, "The schema cannot be published", str(error), errors) from None


def _view(view: RegisteredView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in ("name", "version", "label", "plan_type", "quantity_column")}


def _published(service: str, result: schemas.Published) -> dict[str, Any]:
    units = [unit.model_dump() for unit in result.units]
    return {"service": service, "version": result.version, "changed": result.changed, "units": units}


def _told(found: Preview, limit: int) -> dict[str, Any]:
    def figures(one: Figures) -> dict[str, Any]:
        return {"lines": one.lines, "total": plain(one.total)}

    currencies = sorted(found.before.keys() | found.after.keys())
    nothing = Figures()
    return {
        "totals": [
            {
                "currency": code,
                "before": figures(found.before.get(code, nothing)),
                "after": figures(found.after.get(code, nothing)),
                "difference": plain(found.after.get(code, nothing).total - found.before.get(code, nothing).total),
            }
            for code in currencies
        ],
        "customers_changed": len(found.changed),
        "customers": [
            {
                "customer": one.customer,
                "currency": one.currency,
                "before": figures(one.before),
                "after": figures(one.after),
                "difference": plain(one.difference),
            }
            for one in found.changed[:limit]
        ],
    }
