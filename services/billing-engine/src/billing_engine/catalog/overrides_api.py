"""Overrides one by one and effective prices over HTTP: the provider's of all, a reseller's of its own subtree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import Identifier
from tallyport.contracts.catalog import Override
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.observability.http import ProblemError
from tallyport.rest.etags import Conditions, Preconditions, etag_of
from tallyport.rest.openapi import problems
from tallyport.rest.paging import After, cursor_of, page, read_cursor
from tallyport.rest.reasons import Reason

from billing_engine.audit.authors import author_of
from billing_engine.catalog import overrides
from billing_engine.catalog.api import invalid
from billing_engine.catalog.model import CatalogDifference
from billing_engine.catalog.service import InvalidCatalogError
from billing_engine.catalog.views import (
    ChangeView,
    OverrideChanged,
    OverrideRequest,
    OverrideView,
    PlanView,
    PricesView,
    PriceView,
)
from billing_engine.directory.tree import UnknownOrganisationError

Reader = Annotated[
    Principal, Depends(require(Role.VIEWER, Role.RESELLER_ADMINISTRATOR, Role.RESELLER_VIEWER, bounded=True))
]
Seller = Annotated[Principal, Depends(require(Role.RESELLER_ADMINISTRATOR, bounded=True))]
Limit = Annotated[int, Query(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class SellingRules:
    """What the installation allows, and whose day the conversion rates are of."""

    today: Callable[[], date]
    sell_below_cost: bool = False
    require_if_match: bool = False


def overrides_router(
    pool: asyncpg.Pool[asyncpg.Record],
    unit_of_work: Callable[[], AbstractAsyncContextManager[UnitOfWork]],
    rules: SellingRules,
) -> APIRouter:
    """``/v1/overrides``."""
    router = APIRouter(prefix="/v1/overrides", tags=["prices"])

    async def change(
        plan: str,
        organisation: str,
        wanted: Override | None,
        *,
        who: Principal,
        reason: str,
        conditions: Preconditions,
    ) -> OverrideChanged:
        def guard(before: Override | None) -> None:
            what = f"the override of {plan!r} at {organisation!r}"
            conditions.check(_tag(before), what, required=rules.require_if_match)
            if wanted is None and before is None:
                raise ProblemError(404, "Unknown override", f"{organisation!r} says nothing about plan {plan!r}")

        editor = overrides.Editor(author_of(who, reason), who.organisation, rules.sell_below_cost, rules.today())
        with _problems():
            async with unit_of_work() as uow:
                said = await overrides.put(uow, plan, organisation, wanted, editor=editor, guard=guard)
        override = _view(said.override) if said.override is not None else None
        return OverrideChanged(override=override, changes=_changes(said.changes))

    @router.get("", responses=problems(404, 422))
    async def listing(
        who: Reader,
        *,
        request: Request,
        response: Response,
        organisation: Identifier | None = None,
        plan: Identifier | None = None,
        limit: Limit = 100,
        after: After = None,
    ) -> list[OverrideView]:
        """What organisations say about plans, by plan and organisation."""
        cursor = read_cursor(after, str, str)
        with _problems():
            async with pool.acquire() as connection:
                found = await overrides.listing(
                    connection,
                    within=who.organisation,
                    organisation=organisation,
                    plan_id=plan,
                    after=(cursor[0], cursor[1]) if cursor is not None else None,
                    limit=limit + 1,
                )
        shown = page(request, response, found, limit, lambda one: cursor_of(one.plan, one.organisation))
        return [_view(one.seen) for one in shown if one.seen is not None]

    @router.get("/{plan}/{organisation}", responses=problems(404, 422))
    async def show(
        plan: Identifier, organisation: Identifier, who: Reader, conditions: Conditions, response: Response
    ) -> OverrideView:
        """What one organisation says about one plan."""
        with _problems():
            async with pool.acquire() as connection:
                found = await overrides.one(connection, plan, organisation, within=who.organisation)
        if found is None:
            raise ProblemError(404, "Unknown override", f"{organisation!r} says nothing about plan {plan!r}")
        tag = _tag(found) or ""
        response.headers["ETag"] = tag
        return conditions.not_modified(tag) or _view(found)  # type: ignore[return-value]  # an answer of its own

    @router.put("/{plan}/{organisation}", responses=problems(404, 412, 428))
    async def put(
        plan: Identifier,
        organisation: Identifier,
        *,
        body: OverrideRequest,
        who: Seller,
        conditions: Conditions,
        reason: Reason,
        response: Response,
    ) -> OverrideChanged:
        """Make this all that an organisation says about a plan.

        A reseller does it for those below itself, by the properties that the plan is charged by, and not below what it
        pays itself unless the installation allows it.
        """
        said = {"plan": plan, "organisation": organisation, "currency": body.currency, "properties": body.properties}
        wanted = Override.model_validate(said)
        done = await change(plan, organisation, wanted, who=who, reason=body.reason or reason, conditions=conditions)
        response.headers["ETag"] = etag_of(done.override)
        return done

    @router.delete("/{plan}/{organisation}", responses=problems(404, 412, 422, 428))
    async def remove(
        plan: Identifier, organisation: Identifier, who: Seller, conditions: Conditions, reason: Reason
    ) -> OverrideChanged:
        """Let an organisation say nothing about a plan: it pays what the levels above it say."""
        return await change(plan, organisation, None, who=who, reason=reason, conditions=conditions)

    return router


def prices_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/plans`` and ``/v1/prices``."""
    router = APIRouter(prefix="/v1", tags=["prices"])

    @router.get("/plans", responses=problems(422))
    async def plans(
        _: Reader,
        request: Request,
        response: Response,
        service: Identifier | None = None,
        limit: Limit = 100,
        after: After = None,
    ) -> list[PlanView]:
        """The plans there are, by id."""
        cursor = read_cursor(after, str)
        async with pool.acquire() as connection:
            found = await overrides.plans(
                connection, service=service, after=cursor[0] if cursor is not None else None, limit=limit + 1
            )
        shown = page(request, response, found, limit, lambda one: cursor_of(one["id"]))
        return [PlanView.model_validate(one) for one in shown]

    @router.get("/prices/{plan}", responses=problems(404, 422))
    async def prices(plan: Identifier, who: Reader, organisation: Identifier | None = None) -> PricesView:
        """The values of a plan's properties that count for an organisation, each with the level that says it.

        Without an organisation: the token's own, or for the provider what the plan itself says.
        """
        with _problems():
            async with pool.acquire() as connection:
                found = await overrides.prices(connection, plan, organisation, within=who.organisation)
        properties = {
            name: PriceView(value=one.value, currency=one.currency, source=one.source)
            for name, one in found.values.items()
        }
        return PricesView(
            plan=plan,
            service=found.plan.service,
            name=found.plan.plan.name,
            organisation=found.organisation,
            properties=properties,
        )

    return router


def _view(override: Override) -> OverrideView:
    return OverrideView.model_validate(override.model_dump(exclude={"location"}))


def _tag(override: Override | None) -> str | None:
    return None if override is None else etag_of(_view(override))


def _changes(changes: list[CatalogDifference]) -> list[ChangeView]:
    return [ChangeView.model_validate(asdict(one)) for one in changes]


@contextmanager
def _problems() -> Iterator[None]:
    """The refusals of the use cases, as problem details."""
    try:
        yield
    except UnknownOrganisationError as error:
        raise ProblemError(404, "Unknown organisation", str(error)) from None
    except overrides.UnknownPlanError as error:
        raise ProblemError(404, "Unknown plan", str(error)) from None
    except overrides.NotYoursError as error:
        raise ProblemError(403, "Forbidden", str(error)) from None
    except InvalidCatalogError as error:
        raise invalid(error, "The override is refused") from None
