"""When a report is due, and which dates it is about; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from tallyport.contracts.reports import ReportFormat

Every = Literal["day", "week", "month"]
Period = Literal["today", "yesterday", "last_week", "month_to_date", "last_month"]
Outcome = Literal["succeeded", "partial", "failed"]

MAX_CAUGHT_UP: Final = 31
"""How many missed reports of a schedule are made up for, the latest of them."""
LAST_DAY: Final = {"day": 1, "week": 7, "month": 31}


class RefusedScheduleError(ValueError):
    """The schedule can never come due, or asks for what cannot be; the message names the field."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A report wanted again and again.

    ``at`` is local time in ``zone``. ``day`` is 1 (Monday) to 7 of a week, or 1 to 31 of a month: the last one of a
    month that has fewer. ``synchronise_minutes`` is how long the collectors are waited for before; None: they are not
    asked.
    """

    name: str
    kind: str
    format: ReportFormat
    organisation: str | None
    language: str
    period: Period
    every: Every
    day: int
    at: time
    zone: str
    synchronise_minutes: int | None
    active: bool
    owner: str | None
    changed_by: str
    changed_at: datetime

    def due_after(self, moment: datetime) -> datetime:
        """The next moment after ``moment`` at which it is due, in UTC.

        A local time that the clock passes twice means the first; one that it leaps over means as long after midnight.
        """
        zone = ZoneInfo(self.zone)
        day = moment.astimezone(zone).date() - timedelta(days=1)
        while True:
            if self._falls_on(day):
                due = datetime.combine(day, self.at, zone).astimezone(UTC)
                if due > moment:
                    return due
            day += timedelta(days=1)

    def due_until(self, begin: datetime, end: datetime) -> list[datetime]:
        """From ``begin``, at which it is due, to ``end``: the moments at which it was, the latest ``MAX_CAUGHT_UP``."""
        found: list[datetime] = []
        while begin <= end:
            found = [*found[-MAX_CAUGHT_UP + 1 :], begin]
            begin = self.due_after(begin)
        return found

    def dates(self, due: datetime) -> tuple[date, date]:
        """The first and the last date of the report that is due then, both inclusive."""
        day = due.astimezone(ZoneInfo(self.zone)).date()
        month = day.replace(day=1)
        before = month - timedelta(days=1)
        monday = day - timedelta(days=day.weekday())
        periods: dict[Period, tuple[date, date]] = {
            "today": (day, day),
            "yesterday": (day - timedelta(days=1), day - timedelta(days=1)),
            "last_week": (monday - timedelta(days=7), monday - timedelta(days=1)),
            # On the first of a month nothing of it is over: it is about the month before.
            "month_to_date": (month, day - timedelta(days=1)) if day > month else (before.replace(day=1), before),
            "last_month": (before.replace(day=1), before),
        }
        return periods[self.period]

    def report_id(self, due: datetime) -> str:
        """The same for the same moment: a report that was asked for is not asked for again."""
        return f"schedule-{self.name}-{due:%Y%m%dT%H%MZ}"

    def _falls_on(self, day: date) -> bool:
        if self.every == "week":
            return day.isoweekday() == self.day
        if self.every == "month":
            last = ((day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day
            return day.day == min(self.day, last)
        return True


def check(schedule: Schedule) -> None:
    """See that it can come due.

    Raises:
        RefusedScheduleError: it cannot.
    """
    if not 1 <= schedule.day <= LAST_DAY[schedule.every]:
        raise RefusedScheduleError(f"day: 1 to {LAST_DAY[schedule.every]} of a {schedule.every} is expected")
    try:
        ZoneInfo(schedule.zone)
    except (KeyError, ValueError, OSError):
        raise RefusedScheduleError(f"zone: {schedule.zone!r} is not a time zone, as Europe/Berlin is") from None


@dataclass(frozen=True, slots=True)
class Synchronisation:
    """What the collectors said when they were asked before a report. ``expected`` are those heard of lately."""

    expected: frozenset[str]
    heard: Mapping[str, Outcome]

    @property
    def complete(self) -> bool:
        """Whether every source that is expected has been read. Nobody knows that where none is expected."""
        return bool(self.expected) and self.expected <= self.heard.keys()

    def said(self) -> str:
        """The outcome, as the report's completeness statement says it."""
        if not self.expected and not self.heard:
            return "no collector has ever been heard of"
        missing = len(self.expected - self.heard.keys())
        counts = [
            (sum(state == "succeeded" for state in self.heard.values()), "read"),
            (sum(state == "partial" for state in self.heard.values()), "read in part"),
            (sum(state == "failed" for state in self.heard.values()), "failed"),
            (missing, "not heard of in time"),
        ]
        return "sources: " + ", ".join(f"{count} {what}" for count, what in counts if count)
