"""Service schemas over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import Identifier
from tallyport.contracts.catalog import BillingUnit
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.money import plain
from tallyport.observability.http import ProblemError
from tallyport.rest.etags import Conditions, Preconditions, etag_of
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor

from billing_engine.billing_units import service as schemas
from billing_engine.billing_units.views import (
    History,
    PreviewRequest,
    PreviewView,
    PublishedView,
    PublishRequest,
    RevertRequest,
    SchemaDiff,
    SchemaView,
)
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.model import Dates, RegisteredView, ViewFailedError
from billing_engine.billing_views.running import ViewRunner
from billing_engine.transfers.preview import Figures, Preview, UnknownCustomerError, preview

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]


# A draft is the provider's; a reseller sees what it would change for those below itself.
Previewer = Annotated[Principal, Depends(require(Role.RESELLER_ADMINISTRATOR, bounded=True))]


def billing_units_router(
    pool: asyncpg.Pool[asyncpg.Record],
    unit_of_work: Callable[[], AbstractAsyncContextManager[UnitOfWork]],
    dates: Callable[[], Dates],
    views: ViewRunner,
    *,
    require_if_match: bool = False,
) -> APIRouter:
    """``/v1/services/{service}/schema``; ``dates`` are those of a batch of today."""
    router = APIRouter(prefix="/v1/services/{service}/schema", tags=["schemas"])
    _add_reading(router, pool)
    _add_publishing(router, unit_of_work, require_if_match=require_if_match)

    @router.post("/preview", responses=problems(404))
    async def show_preview(
        service: Identifier, request: PreviewRequest, who: Previewer, response: Response
    ) -> PreviewView:
        """Today's lines by the draft beside those by the published version; nothing is written."""
        with _problems():
            async with pool.acquire() as connection:
                draft = await schemas.draft(connection, service)
                current = await schemas.newest(connection, service)
                response.headers["ETag"] = _tag(draft, current)
                draft = await billing_views.pinned(connection, draft)
                today = dates()
                found = await preview(
                    connection,
                    service,
                    published=schemas.units_of(current) if current is not None else [],
                    draft=draft,
                    dates=today,
                    views=views,
                    customer=request.customer,
                    within=who.organisation,
                )
        version = current["version"] if current is not None else None
        told = {"service": service, "version": version, "usage_day": today.usage_day, **_told(found, request.limit)}
        return PreviewView.model_validate(told)

    return router


def _add_reading(router: APIRouter, pool: asyncpg.Pool[asyncpg.Record]) -> None:
    @router.get("", responses=problems(404, 422))
    async def show(service: Identifier, _: Viewer, conditions: Conditions, response: Response) -> SchemaView:
        """The draft, the version that transfers use, and the registered views that a unit may name."""
        with _problems():
            async with pool.acquire() as connection:
                units = await schemas.draft(connection, service)
                published = await schemas.newest(connection, service)
                known = (await billing_views.newest(connection)).values()
        tag = _tag(units, published)
        response.headers["ETag"] = tag
        offers = [_view(view) for view in known if view.service == service]
        draft = [unit.model_dump() for unit in units]
        whole = {"service": service, "draft": draft, "published": published, "views": offers}
        return conditions.not_modified(tag) or SchemaView.model_validate(whole)  # type: ignore[return-value]  # 304

    @router.get("/diff", responses=problems(404, 422))
    async def diff(service: Identifier, _: Viewer, response: Response) -> SchemaDiff:
        """What publishing the draft would change, field by field."""
        with _problems():
            async with pool.acquire() as connection:
                changes = await schemas.compare(connection, service)
                state = await schemas.draft(connection, service), await schemas.newest(connection, service)
        response.headers["ETag"] = _tag(*state)
        return SchemaDiff.model_validate({"service": service, "changes": [asdict(change) for change in changes]})

    @router.get("/history", responses=problems(404, 422))
    async def history(
        service: Identifier,
        _: Viewer,
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: After = None,
    ) -> History:
        """The versions, newest first: who published what, when and why."""
        cursor = read_cursor(after, int)
        with _problems():
            async with pool.acquire() as connection:
                last = cursor[0] if cursor is not None else None
                found = await schemas.history(connection, service, limit + 1, before=last)
        versions = page(request, response, found, limit, lambda one: cursor_of(one["version"]))
        return History.model_validate({"service": service, "versions": versions})


def _add_publishing(
    router: APIRouter, unit_of_work: Callable[[], AbstractAsyncContextManager[UnitOfWork]], *, require_if_match: bool
) -> None:
    def guard(service: str, conditions: Preconditions) -> schemas.Guard:
        def check(draft: Sequence[BillingUnit], published: dict[str, Any] | None) -> None:
            conditions.check(_tag(draft, published), f"the schema of {service!r}", required=require_if_match)

        return check

    @router.post("/publish", responses=problems(404, 412, 428))
    async def publish(
        service: Identifier, request: PublishRequest, who: Administrator, conditions: Conditions
    ) -> PublishedView:
        """Make the draft the version that the next transfer uses.

        With `If-Match` (of the schema, its diff or its preview) only what was looked at is published.
        """
        with _problems():
            async with unit_of_work() as uow:
                result = await schemas.publish(
                    uow, service, by=who.name, reason=request.reason, guard=guard(service, conditions)
                )
        return _published(service, result)

    @router.post("/revert", responses=problems(404, 412, 428))
    async def revert(
        service: Identifier, request: RevertRequest, who: Administrator, conditions: Conditions
    ) -> PublishedView:
        """Publish the units of an earlier version as a new one."""
        with _problems():
            async with unit_of_work() as uow:
                result = await schemas.revert(
                    uow,
                    service,
                    request.version,
                    by=who.name,
                    reason=request.reason,
                    guard=guard(service, conditions),
                )
        return _published(service, result)


def _tag(draft: Sequence[BillingUnit], published: dict[str, Any] | None) -> str:
    version = published["version"] if published is not None else None
    return etag_of({"draft": [unit.model_dump() for unit in draft], "published": version})


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


def _published(service: str, result: schemas.Published) -> PublishedView:
    units = [unit.model_dump() for unit in result.units]
    return PublishedView(service=service, version=result.version, changed=result.changed, units=units)


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
