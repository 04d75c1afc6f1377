"""Comparing usage, directory and batch, and noting what somebody has looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.audit import service as audit
from billing_engine.audit.model import Author, Change
from billing_engine.reconciliation import store
from billing_engine.reconciliation.model import Acknowledgement, Finding, Thresholds


async def reconcile(
    connection: Any, *, batch_date: date, usage_day: date, today: date, thresholds: Thresholds
) -> list[Finding]:
    """What does not agree, from one snapshot, with what was said about it."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = [
            *await store.usage_of_unknown(connection, thresholds.limit),
            *await store.usage_of_removed(connection, usage_day, thresholds.limit),
            *await store.without_usage(connection, usage_day, thresholds),
            *await store.below_use(connection, thresholds.limit),
            *await store.moved(connection, batch_date, thresholds),
        ]
        said = await store.acknowledged(connection, today, [one.id for one in found])
    return [replace(one, acknowledged=said.get(one.id)) for one in found]


async def acknowledge(uow: UnitOfWork, finding_id: str, said: Acknowledgement) -> None:
    """Note that somebody has looked at a finding and why it may stay."""
    await store.acknowledge(uow.connection, finding_id, said)
    until = {"until": str(said.until) if said.until is not None else None}
    await audit.record(
        uow, Author(said.by, said.reason), [Change("acknowledged", f"finding:{finding_id}", None, until)]
    )
