"""A transfer's steps, lights and rules; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Step(StrEnum):
    """The named steps, in the order they are taken."""

    FREEZE_USAGE = "freeze-usage"
    COMPUTE_LINES = "compute-lines"
    PUBLISH_LINES = "publish-lines"
    AWAIT_WAREHOUSE = "await-warehouse"


class Light(StrEnum):
    """What an administrator sees from afar."""

    ORANGE = "orange"
    GREEN = "green"
    RED = "red"


_LIGHTS = {"running": Light.ORANGE, "done": Light.GREEN, "failed": Light.RED}


@dataclass(frozen=True, slots=True)
class StepProgress:
    """One step: its state (waiting, running, done, failed) and how many rows it has handled.

    ``done`` of ``expected`` (customers while lines are computed, rows while they are published) say how far it is,
    where that can be said.
    """

    name: Step
    state: str
    rows: int
    done: int | None
    expected: int | None
    started_at: datetime | None
    finished_at: datetime | None

    def rows_per_second(self, now: datetime) -> int | None:
        """How fast it goes, or went; None before it has begun."""
        if self.started_at is None:
            return None
        seconds = ((self.finished_at or now) - self.started_at).total_seconds()
        return round(self.rows / seconds) if seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Transfer:
    """One run for one date. ``lines``, ``chunks``, ``sha256`` and ``totals`` are known once all lines are computed.

    ``frozen_at`` is known as soon as the first are. ``as_of`` is the moment whose state is billed, where that is not
    the present one.
    """

    batch_date: date
    revision: int
    usage_day: date
    state: str
    step: Step
    requested_at: datetime
    frozen_at: datetime | None
    as_of: datetime | None
    chunks: int | None
    lines: int | None
    sha256: str | None
    previous_date: date | None
    previous_revision: int | None
    previous_sha256: str | None
    totals: dict[str, Decimal]
    completeness: dict[str, Any]
    reason: str | None
    steps: list[StepProgress] = field(default_factory=list)

    @property
    def light(self) -> Light:
        """Orange while running, green once the warehouse confirmed, red when failed."""
        return _LIGHTS[self.state]

    @property
    def half_frozen(self) -> bool:
        """Some of its lines are frozen, and perhaps published, but not all: the snapshot they came from may be gone."""
        return self.frozen_at is not None and self.sha256 is None


class TransferRefusedError(ValueError):
    """A transfer that may not begin; the message says why and what to do instead."""


def why_not_begin(batch_date: date, today: date, newest: Transfer | None) -> str | None:
    """Why a transfer of ``batch_date`` may not begin; None when it may.

    Today's batch can be replaced by a new revision; an earlier one is history. A date that has no batch yet can be
    caught up.
    """
    if batch_date > today:
        return f"{batch_date} is in the future; the newest batch there can be is {today}"
    if newest is None:
        return None
    if newest.state == "running":
        return f"the transfer of {batch_date} is running (step {newest.step}); wait for it, or see its status"
    if newest.state == "done" and batch_date < today:
        return f"{batch_date} is history; only today's batch ({today}) can be replaced"
    return None


def why_not_cancel(batch_date: date, newest: Transfer | None) -> str | None:
    """Why the newest transfer of ``batch_date`` cannot be stopped; None when it can."""
    if newest is None or newest.state != "running":
        return f"no transfer of {batch_date} is running"
    if newest.step is Step.AWAIT_WAREHOUSE:
        return f"the lines of {batch_date} are published and announced; only a new revision can replace them"
    return None


class TransferCancelledError(Exception):
    """Somebody stopped the transfer while a step of it was being taken."""


def why_not_resume(batch_date: date, newest: Transfer | None, step: Step | None) -> str | None:
    """Why the newest transfer of ``batch_date`` cannot go on from ``step``; None when it can."""
    if newest is None:
        return f"there is no transfer of {batch_date} to resume; begin one"
    if newest.state == "done":
        return f"the transfer of {batch_date} is done; there is nothing to resume"
    if newest.state == "running":
        return f"the transfer of {batch_date} is running (step {newest.step})"
    if step in (Step.PUBLISH_LINES, Step.AWAIT_WAREHOUSE) and newest.sha256 is None:
        return f"step {step} needs computed lines; resume from {Step.COMPUTE_LINES}"
    if step in (Step.FREEZE_USAGE, Step.COMPUTE_LINES) and newest.sha256 is not None:
        return f"the lines of {batch_date} are frozen; resume from {Step.PUBLISH_LINES}, or begin a new revision"
    return None
