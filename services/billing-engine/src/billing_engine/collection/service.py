"""What is known of the sources when a batch is made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from tallyport.contracts.collection import CollectionRun
from tallyport.messaging.record import Event
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.collection import store

MOST_CUSTOMERS: Final = 100
EXPECTED_AFTER_DAYS: Final = 7
"""A source that had a run in so many days before is expected to have another."""


async def on_runs(uow: UnitOfWork, events: Sequence[Event[CollectionRun]]) -> None:
    """Keep what collectors say of their runs."""
    await store.put(uow.connection, [event.data for event in events])


async def forget(connection: Any, before: date) -> int:
    """Let go of what collectors said before a date, but for the newest of each source; returns how many that were."""
    return await store.forget(connection, before)


async def completeness(connection: Any, since: datetime) -> dict[str, int | list[str]]:
    """Which sources were expected to be heard since then, which were, and what they could not reach.

    And when each source that reads an inventory last did, whenever that was, and whose it could not read.
    """
    inventories = await store.inventories(connection)
    heard = await store.heard_of(connection, known_since=since - timedelta(days=EXPECTED_AFTER_DAYS), since=since)
    return {
        "sources_expected": list(heard),
        "sources_heard": [source for source, how in heard.items() if how in ("succeeded", "partial")],
        "sources_missing": [source for source, how in heard.items() if how in ("failed", "silent")],
        "sources_partial": [source for source, how in heard.items() if how == "partial"],
        "unreached": await store.unreached(connection, since),
        "inventories": [
            f"{one['source']}: {one['state']} {one['finished_at'].isoformat()}, customers {one['customers_reached']}"
            for one in inventories
        ],
        "customers_unreached": [
            f"{one['source']}: {customer}" for one in inventories for customer in one["customers_not_reached"]
        ][:MOST_CUSTOMERS],
        "customers_unreached_count": sum(one["customers_not_reached_count"] for one in inventories),
    }
