"""When batches are due, and which are missing; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def due_at(batch_date: date, at: time | None, zone: ZoneInfo) -> datetime:
    """When the batch of a date is due, in UTC: at the provider's local time, or, without one, at the end of the date.

    A local time that the clock passes twice means the first; one that it leaps over means as long after midnight.
    """
    if at is None:
        return datetime.combine(batch_date + timedelta(days=1), time(), zone).astimezone(UTC)
    return datetime.combine(batch_date, at, zone).astimezone(UTC)


def next_due(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """The next moment after ``now`` at which a batch is due."""
    day = now.astimezone(zone).date()
    found = due_at(day, at, zone)
    return found if found > now else due_at(day + timedelta(days=1), at, zone)


def missing(
    batches: Mapping[date, tuple[bool, str]], now: datetime, *, at: time, zone: ZoneInfo, catch_up_days: int
) -> list[date]:
    """The dates that are due and have no batch, oldest first; ``batches`` says of each date whether it has one.

    Nothing is missed before the first batch: an installation that has none begins with today's.
    """
    day = now.astimezone(zone).date()
    today = day if due_at(day, at, zone) <= now else day - timedelta(days=1)
    known = [one for one, (has_batch, _) in batches.items() if has_batch]
    if not known:
        return [today] if today == day else []
    first = max(min(known), today - timedelta(days=catch_up_days - 1))
    dates = (first + timedelta(days=n) for n in range((today - first).days + 1))
    return [one for one in dates if not batches.get(one, (False, ""))[0]]
