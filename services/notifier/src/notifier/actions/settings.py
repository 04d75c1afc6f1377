"""What is asked about and of whom: ticks, switches, registered actions, and the glass to break; all of it audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from tallyport.audit import Author, Change
from tallyport.contracts.actions import ACTIONS
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.money import plain

from notifier.actions import store
from notifier.actions.model import Registered
from notifier.audit.service import record
from notifier.prices.service import customer_of

LONGEST_BREAK: Final = timedelta(hours=24)


class UnknownActionError(ValueError):
    """An action that is neither built in nor registered."""


class UnknownCustomerError(ValueError):
    """A customer that nobody has told of, or that is not below who asks."""


class RefusedSettingError(ValueError):
    """A setting that cannot be; the message says why."""


@dataclass(frozen=True, slots=True)
class ActionSetting:
    """Whether an action is asked about, and how."""

    ticked: bool = False
    other_person: bool = False
    two_above: Mapping[str, Decimal] = field(default_factory=dict)
    valid_minutes: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As the audit log shows it."""
        limits = {currency: plain(amount) for currency, amount in self.two_above.items()}
        return {"ticked": self.ticked, "other_person": self.other_person, "two_above": limits,
                "valid_minutes": self.valid_minutes}  # fmt: skip


async def settings(connection: Any) -> dict[str, ActionSetting]:
    """Every action there is, with how it is asked about."""
    said = {row["action"]: row for row in await store.ticked_actions(connection)}
    names = [*ACTIONS, *await store.registered_actions(connection)]
    return {name: _setting(said.get(name)) for name in names}


def _setting(row: Mapping[str, Any] | None) -> ActionSetting:
    if row is None:
        return ActionSetting()
    return ActionSetting(row["ticked"], row["other_person"], row["two_above"], row["valid_minutes"])


async def tick(uow: UnitOfWork, action: str, wanted: ActionSetting, *, by: Author) -> None:
    """Say whether and how an action is asked about.

    Raises:
        UnknownActionError: there is no such action.
    """
    known = await settings(uow.connection)
    if action not in known:
        raise UnknownActionError(f"there is no billable action {action!r}; there are {', '.join(known)}")
    await store.tick(
        uow.connection,
        action,
        ticked=wanted.ticked,
        other_person=wanted.other_person,
        two_above=wanted.two_above,
        valid_minutes=wanted.valid_minutes,
        by=by.name,
        at=uow.now(),
    )
    record(uow, by, Change("changed", f"action:{action}", known[action].as_json(), wanted.as_json()))


async def registered(connection: Any) -> dict[str, Registered]:
    """The provider's own actions."""
    return await store.registered_actions(connection)


def _as_json(said: Registered | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return {"labels": dict(said.labels), "items": [one.model_dump(mode="json") for one in said.items]}


async def register(uow: UnitOfWork, action: str, said: Registered, *, by: Author) -> None:
    """Enter an action of the provider's own.

    Raises:
        RefusedSettingError: the name is that of a built-in action.
    """
    if action in ACTIONS:
        raise RefusedSettingError(f"{action!r} is built in")
    before = (await store.registered_actions(uow.connection)).get(action)
    await store.register(uow.connection, action, said, by=by.name, at=uow.now())
    change = "changed" if before is not None else "added"
    record(uow, by, Change(change, f"registered-action:{action}", _as_json(before), _as_json(said)))


async def unregister(uow: UnitOfWork, action: str, *, by: Author) -> None:
    """Take an action of the provider's own out; requests for it are declined from now on.

    Raises:
        UnknownActionError: there is no such action.
    """
    before = (await store.registered_actions(uow.connection)).get(action)
    if not await store.unregister(uow.connection, action, by=by.name, at=uow.now()):
        raise UnknownActionError(f"there is no registered action {action!r}")
    record(uow, by, Change("removed", f"registered-action:{action}", _as_json(before)))


async def switch_is_on(connection: Any, customer_id: str, at: datetime, *, below: str | None = None) -> bool:
    """Whether a customer is asked; one that came with its history is, until somebody says otherwise.

    Raises:
        UnknownCustomerError: nobody has told of it, or it is not below the organisation ``below``.
    """
    customer = await customer_of(connection, customer_id)
    if customer is None or (below is not None and below not in customer.chain[1:]):
        raise UnknownCustomerError(f"there is no customer {customer_id!r}")
    switch_on = (await store.rules(connection, [("", customer_id)], at))["", customer_id].switch_on
    return customer.imported if switch_on is None else switch_on


async def switch(uow: UnitOfWork, customer_id: str, *, on: bool, by: Author) -> None:
    """Say whether a customer is asked. A reseller's administrator says it for the customers below its organisation.

    Raises:
        UnknownCustomerError: nobody has told of it, or it is none of the author's.
    """
    before = await switch_is_on(uow.connection, customer_id, uow.now(), below=by.organisation)
    await store.switch(uow.connection, customer_id, on=on, by=by.name, at=uow.now())
    record(uow, by, Change("changed", f"switch:{customer_id}", {"on": before}, {"on": on}))


async def break_glass(uow: UnitOfWork, reason: str, until: datetime, *, by: Author) -> None:
    """Open the gate until a time: what would be asked or could not be decided is allowed, and says so.

    Raises:
        RefusedSettingError: the time is past, or more than a day away.
    """
    if not uow.now() < until <= uow.now() + LONGEST_BREAK:
        raise RefusedSettingError("until: a time within the next 24 hours")
    number = await store.break_glass(uow.connection, reason=reason, by=by.name, at=uow.now(), until=until)
    after = {"until": until.isoformat(), "reason": reason}
    record(uow, Author(by.name, reason, by.organisation), Change("glass broken", f"break-glass:{number}", after=after))


async def mend_glass(uow: UnitOfWork, *, by: Author) -> None:
    """Shut the gate before the time."""
    for number in await store.mend_glass(uow.connection, by=by.name, at=uow.now()):
        record(uow, by, Change("glass mended", f"break-glass:{number}"))


async def glasses(connection: Any) -> list[dict[str, Any]]:
    """When the gate stood open and why, newest first."""
    return await store.glasses(connection)
