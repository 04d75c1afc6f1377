"""Findings of a reconciliation; pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any


class FindingKind(StrEnum):
    """What does not agree."""

    USAGE_OF_UNKNOWN = "usage_of_unknown_object"
    USAGE_OF_REMOVED = "usage_of_removed_object"
    NO_USAGE = "subscription_without_usage"
    BELOW_USE = "allocation_below_use"
    TOTAL_MOVED = "total_moved"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who has looked at a finding and why it may stay, for ever or until a date (inclusive)."""

    by: str
    at: datetime
    reason: str
    until: date | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not agree. ``subject`` names it, ``facts`` say how it stands now."""

    kind: FindingKind
    subject: tuple[str, ...]
    message: str
    facts: dict[str, Any] = field(default_factory=dict)
    acknowledged: Acknowledgement | None = None

    @property
    def id(self) -> str:
        """The same for the same thing, whatever day it is found again; a moved total is found on one date only."""
        return hashlib.sha256("\0".join((self.kind, *self.subject)).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is worth a finding.

    ``quiet_days``: so many days without usage. ``moved_percent`` and ``moved_amount``: a total that moved by more than
    both. ``limit``: at most so many findings of a kind.
    """

    quiet_days: int = 7
    moved_percent: int = 20
    moved_amount: int = 10
    limit: int = 1000
