"""Seeing what is bought, and holding it against what was allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from tallyport.contracts.directory import ProvisioningStatus, Removal, ServiceInstance, Subscription
from tallyport.messaging.record import Event, Tombstone
from tallyport.messaging.unit_of_work import UnitOfWork

from notifier.reconciliation import store
from notifier.reconciliation.model import SeenChange, never_decided
from notifier.reconciliation.store import SeenPlan

TOLERANCE: Final = timedelta(minutes=5)
"""How far the clocks of the emitter and of the notifier may differ."""
PERMITS_REACH: Final = timedelta(days=7)
"""How long after it was allowed an action may be performed and still be explained."""
MAX_ROWS: Final = 10_000
_KINDS: Final = ("subscription", "service_instance")


@dataclass(frozen=True, slots=True)
class Findings:
    """What does not fit together; ``complete`` is False where there was more than could be looked at."""

    never_performed: Sequence[dict[str, Any]]
    never_decided: Sequence[SeenChange]
    complete: bool


async def on_directory(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
    """Keep who has which plan, and note what is new."""
    seen = {(one.kind, one.id): one for one in map(_seen, events) if one is not None}  # the last of each counts
    if not seen:
        return
    before = await store.known(uow.connection, list(seen))
    since = await store.looking_since(uow.connection)
    news: list[tuple[SeenPlan, str | None]] = []
    for key, one in seen.items():
        old, partition, offset = before.get(key, (None, -1, -1))
        if partition == one.partition and offset >= one.offset:
            continue  # told before
        if since is not None and one.at >= since and one.plan is not None and one.plan != old:
            news.append((one, old))
    await store.put(uow.connection, list(seen.values()))
    if news:
        await store.put_changes(uow.connection, news)


def _seen(event: Event[Any]) -> SeenPlan | None:
    place = (event.record.partition, event.record.offset, event.time)
    match event.data:
        case Subscription(id=one, instance=instance, plan=plan, status=status):
            there = status is not ProvisioningStatus.NOT_PROVISIONED
            return SeenPlan("subscription", one, instance, None, plan if there else None, *place)
        case ServiceInstance(id=one, customer=customer, plan=plan, status=status):
            there = status is not ProvisioningStatus.NOT_PROVISIONED
            return SeenPlan("service_instance", one, one, customer, plan if there else None, *place)
        case Removal(kind="subscription" | "service_instance" as kind, id=gone):
            return SeenPlan(kind, gone, gone, None, None, *place)
        case Tombstone(key=key) if key.partition(":")[0] in _KINDS:
            named, _, gone = key.partition(":")
            return SeenPlan(named, gone, gone, None, None, *place)
        case _:
            return None


async def reconcile(
    connection: Any, *, since: datetime, now: datetime, grace: timedelta, customer: str | None
) -> Findings:
    """What was allowed and not performed within ``grace``, and what was performed and never allowed, since then."""
    changes = await store.changes(connection, since, customer, MAX_ROWS + 1)
    permits = await store.permits(connection, since - PERMITS_REACH, customer)
    missing = await store.never_performed(connection, since, now - grace, customer, MAX_ROWS + 1)
    return Findings(
        missing[:MAX_ROWS],
        never_decided(changes[:MAX_ROWS], permits, TOLERANCE),
        complete=max(len(changes), len(missing)) <= MAX_ROWS,
    )
