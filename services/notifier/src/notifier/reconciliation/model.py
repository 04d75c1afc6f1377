"""What was bought held against what was allowed; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class SeenChange:
    """Something was bought, or got another plan, while the gate asked about its customer."""

    number: int
    kind: str
    id: str
    customer: str
    old_plan: str | None
    new_plan: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Permit:
    """An allowed request: how many of a plan it may bring, from when on."""

    customer: str
    plan: str
    quantity: Decimal
    allowed_at: datetime


def never_decided(seen: Iterable[SeenChange], permits: Sequence[Permit], tolerance: timedelta) -> list[SeenChange]:
    """The changes that no allowed request explains, oldest first.

    A permit explains one change for each of its quantity, of the same customer and plan, made after it was given;
    ``tolerance`` is how far clocks may differ. The oldest permit is used first.
    """
    left: dict[tuple[str, str], list[Permit]] = {}
    for permit in sorted(permits, key=lambda one: one.allowed_at):
        left.setdefault((permit.customer, permit.plan), []).append(permit)
    found: list[SeenChange] = []
    for change in sorted(seen, key=lambda one: (one.at, one.number)):
        fitting = left.get((change.customer, change.new_plan), [])
        for place, permit in enumerate(fitting):
            if permit.quantity >= 1 and permit.allowed_at <= change.at + tolerance:
                fitting[place] = replace(permit, quantity=permit.quantity - 1)
                break
        else:
            found.append(change)
    return found
