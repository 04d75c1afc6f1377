"""What a run is and when the next is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from tallyport.contracts.collection import CollectionFailure

MAX_FAILURES_NAMED: Final = 100
_MAX_TEXT: Final = 500

Outcome = Literal["succeeded", "partial", "failed"]


@dataclass
class Tally:
    """What a run has done so far."""

    samples: int = 0
    objects: int = 0
    failures: list[CollectionFailure] = field(default_factory=list)
    failure_count: int = 0

    def fail(self, place: str, reason: str) -> None:
        """Note one thing that could not be read; beyond the first hundred they are only counted."""
        self.failure_count += 1
        if len(self.failures) < MAX_FAILURES_NAMED:
            self.failures.append(CollectionFailure(place=place[:_MAX_TEXT], reason=reason[:_MAX_TEXT]))

    def copy(self) -> Tally:
        """The same, apart: a transaction that is undone must not be counted."""
        return Tally(self.samples, self.objects, list(self.failures), self.failure_count)

    @property
    def outcome(self) -> Outcome:
        """How a run ended that did this."""
        if not self.failure_count:
            return "succeeded"
        return "partial" if self.samples else "failed"


@dataclass
class Run:
    """One reading of one source. ``objects_seen`` holds hashes of their ids."""

    run_id: str
    source: str
    started_at: datetime
    tally: Tally = field(default_factory=Tally)
    objects_seen: set[int] = field(default_factory=set)
    recorded: bool = False


@dataclass
class Schedule:
    """Every so many seconds from the last start; what was missed meanwhile is done once."""

    every_seconds: int
    last: datetime | None = None

    def seconds_left(self, now: datetime) -> float:
        """How long until the next run is due; 0 when it is, also when the clock was set back behind the last."""
        if self.last is None or self.last > now:
            return 0.0
        return max(0.0, (self.last + timedelta(seconds=self.every_seconds) - now).total_seconds())
