"""The gate's settings over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import asdict
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Depends, Path, Response
from tallyport.access.tokens import Principal, Role, require
from tallyport.audit import Author
from tallyport.clock import Clock
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.rest.openapi import problems
from tallyport.rest.problems import ProblemError
from tallyport.rest.reasons import Reason

from notifier.actions import settings
from notifier.actions.model import Registered
from notifier.actions.settings import ActionSetting, RefusedSettingError, UnknownActionError, UnknownCustomerError
from notifier.actions.views import (
    ActionView,
    BreakGlass,
    BreakGlassView,
    RegisteredAction,
    RegisteredActionView,
    Switch,
    SwitchView,
    Ticked,
)

UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER, Role.SERVICE))]
Advanced = Annotated[Principal, Depends(require(Role.PROVIDER_ADVANCED_ADMINISTRATOR, privileged=True))]
Looker = Annotated[
    Principal,
    Depends(require(Role.VIEWER, Role.SERVICE, Role.RESELLER_ADMINISTRATOR, Role.RESELLER_VIEWER, bounded=True)),
]
Seller = Annotated[Principal, Depends(require(Role.RESELLER_ADMINISTRATOR, bounded=True))]
Name = Annotated[str, Path(max_length=100, pattern=r"^[^\s\x00]+$")]
OwnName = Annotated[str, Path(max_length=100, pattern=r"^[a-z][a-z0-9_.-]*$")]


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except UnknownActionError as error:
        raise ProblemError(404, "Unknown action", str(error)) from None
    except UnknownCustomerError as error:
        raise ProblemError(404, "Unknown customer", str(error)) from None
    except RefusedSettingError as error:
        raise ProblemError(422, "The request is not valid", str(error)) from None


def author(who: Principal, reason: str = "") -> Author:
    """Who changes something, as the audit log knows him."""
    return Author(who.name, reason, who.organisation)


def settings_router(pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory, clock: Clock) -> APIRouter:
    """``/v1/settings/actions``, ``/v1/actions``, the customers' switches, and ``/v1/gate/break-glass``."""
    router = APIRouter(prefix="/v1", tags=["gate settings"])

    @router.get("/settings/actions")
    async def actions(_: Viewer) -> list[ActionView]:
        """Every action, and whether and how it is asked about."""
        async with pool.acquire() as connection:
            found = await settings.settings(connection)
        return [ActionView(action=name, **asdict(one)) for name, one in found.items()]

    @router.get("/settings/actions/{action}", responses=problems(404, 422))
    async def action_setting(action: Name, _: Viewer) -> ActionView:
        """One action, and whether and how it is asked about."""
        async with pool.acquire() as connection:
            found = await settings.settings(connection)
        if action not in found:
            raise ProblemError(404, "Unknown action", f"there is no billable action {action!r}")
        return ActionView(action=action, **asdict(found[action]))

    @router.put("/settings/actions/{action}", responses=problems(404))
    async def tick(action: Name, wanted: Ticked, who: Advanced, reason: Reason) -> ActionView:
        """Tick or untick an action, and say who may confirm it; for administrators with the advanced privilege."""
        with _problems():
            async with unit_of_work() as uow:
                await settings.tick(uow, action, ActionSetting(**dict(wanted)), by=author(who, reason))
        return ActionView(action=action, **dict(wanted))

    @router.get("/customers/{customer}/confirmation-switch", responses=problems(404, 422))
    async def switch_setting(customer: Name, who: Looker) -> SwitchView:
        """Whether a customer must confirm; until somebody said, that depends on whether it was imported."""
        with _problems():
            async with pool.acquire() as connection:
                found = await settings.switch_is_on(connection, customer, clock.now(), below=who.organisation)
        return SwitchView(customer=customer, on=found)

    @router.put("/customers/{customer}/confirmation-switch", responses=problems(404))
    async def switch(customer: Name, wanted: Switch, who: Seller, reason: Reason) -> SwitchView:
        """Say whether a customer must confirm what raises its bill; resellers say it for their own customers."""
        with _problems():
            async with unit_of_work() as uow:
                await settings.switch(uow, customer, on=wanted.on, by=author(who, reason))
        return SwitchView(customer=customer, on=wanted.on)

    _add_registered(router, pool, unit_of_work)
    _add_glass(router, pool, unit_of_work)
    return router


def _add_registered(router: APIRouter, pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory) -> None:
    @router.get("/actions")
    async def registered(_: Viewer) -> list[RegisteredActionView]:
        """The actions that the provider has registered."""
        async with pool.acquire() as connection:
            found = await settings.registered(connection)
        return [
            RegisteredActionView(action=name, labels=dict(one.labels), items=list(one.items))
            for name, one in found.items()
        ]

    @router.put("/actions/{action}")
    async def register(action: OwnName, said: RegisteredAction, who: Advanced, reason: Reason) -> RegisteredActionView:
        """Register an action of the provider's own, or change what it is called and adds to the bill."""
        with _problems():
            async with unit_of_work() as uow:
                await settings.register(uow, action, Registered(said.labels, said.items), by=author(who, reason))
        return RegisteredActionView(action=action, **dict(said))

    @router.delete("/actions/{action}", status_code=204, responses=problems(404, 422))
    async def unregister(action: OwnName, who: Advanced, reason: Reason) -> Response:
        """Take a registered action out; requests for it are declined from then on."""
        with _problems():
            async with unit_of_work() as uow:
                await settings.unregister(uow, action, by=author(who, reason))
        return Response(status_code=204)


def _add_glass(router: APIRouter, pool: asyncpg.Pool[asyncpg.Record], unit_of_work: UnitOfWorkFactory) -> None:
    async def listed() -> list[BreakGlassView]:
        async with pool.acquire() as connection:
            return [BreakGlassView(**one) for one in await settings.glasses(connection)]

    @router.get("/gate/break-glass")
    async def glasses(_: Viewer) -> list[BreakGlassView]:
        """When the gate stood open for everything, why and by whom, newest first."""
        return await listed()

    @router.post("/gate/break-glass", status_code=201)
    async def break_glass(wanted: BreakGlass, who: Advanced) -> BreakGlassView:
        """Open the gate for everything until a time, in an emergency; each decision says that it was made so."""
        with _problems():
            async with unit_of_work() as uow:
                await settings.break_glass(uow, wanted.reason, wanted.until, by=author(who))
        return (await listed())[0]

    @router.delete("/gate/break-glass", status_code=204)
    async def mend_glass(who: Advanced, reason: Reason) -> Response:
        """Shut the gate again, before the time."""
        async with unit_of_work() as uow:
            await settings.mend_glass(uow, by=author(who, reason))
        return Response(status_code=204)
