"""When a schedule is due, and what about: a table to read, and what holds for every schedule."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_builder.schedules.model import (
    LAST_DAY,
    MAX_CAUGHT_UP,
    RefusedScheduleError,
    Schedule,
    Synchronisation,
    check,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")


def schedule(**changed: Any) -> Schedule:
    usual: dict[str, Any] = {
        "name": "s", "kind": "customer-detail", "format": "csv", "organisation": None, "language": "en",
        "period": "yesterday", "every": "day", "day": 1, "at": time(6), "zone": "Europe/Berlin",
        "synchronise_minutes": None, "active": True, "owner": None, "changed_by": "me", "changed_at": NOW,
    }  # fmt: skip
    return Schedule(**{**usual, **changed})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "after", "due"),
    [
        ({}, "2026-11-22T04:59", "2026-11-22T05:00"),
        ({}, "2026-11-22T05:00", "2026-11-23T05:00"),
        ({}, "2026-07-01T00:00", "2026-07-01T04:00"),
        # the clock leaps from 2 to 3: half past two is half past three by the new time
        ({"at": time(2, 30)}, "2026-03-29T00:00", "2026-03-29T01:30"),
        # and passes half past two twice: the first counts, and there is no second
        ({"at": time(2, 30)}, "2026-10-24T22:00", "2026-10-25T00:30"),
        ({"at": time(2, 30)}, "2026-10-25T00:30", "2026-10-26T01:30"),
        ({"every": "week", "day": 1}, "2026-11-22T00:00", "2026-11-23T05:00"),
        ({"every": "week", "day": 7}, "2026-11-22T05:00", "2026-11-29T05:00"),
        ({"every": "month", "day": 1}, "2026-11-22T00:00", "2026-12-01T05:00"),
        ({"every": "month", "day": 31}, "2027-02-01T00:00", "2027-02-28T05:00"),
        ({"every": "month", "day": 31}, "2028-02-01T00:00", "2028-02-29T05:00"),
        ({"every": "month", "day": 30}, "2026-11-30T05:00", "2026-12-30T05:00"),
        # Samoa had no 30 December 2011
        ({"zone": "Pacific/Apia", "at": time(12)}, "2011-12-29T22:00", "2011-12-30T22:00"),
    ],
)
def test_the_next_time(changed: dict[str, Any], after: str, due: str) -> None:
    assert schedule(**changed).due_after(utc(after)) == utc(due)


@pytest.mark.parametrize(
    ("period", "due", "first", "last"),
    [
        ("today", "2026-11-22T05:00", "2026-11-22", "2026-11-22"),
        ("yesterday", "2026-11-22T05:00", "2026-11-21", "2026-11-21"),
        ("yesterday", "2026-11-21T23:30", "2026-11-21", "2026-11-21"),  # it is the 22nd already in Berlin
        ("last_week", "2026-11-22T05:00", "2026-11-09", "2026-11-15"),
        ("last_week", "2026-11-23T05:00", "2026-11-16", "2026-11-22"),
        ("month_to_date", "2026-11-22T05:00", "2026-11-01", "2026-11-21"),
        ("month_to_date", "2026-12-01T05:00", "2026-11-01", "2026-11-30"),
        ("last_month", "2026-03-01T05:00", "2026-02-01", "2026-02-28"),
        ("last_month", "2027-01-31T05:00", "2026-12-01", "2026-12-31"),
    ],
)
def test_what_it_is_about(period: Any, due: str, first: str, last: str) -> None:
    found = schedule(period=period).dates(utc(due))
    assert found == (date.fromisoformat(first), date.fromisoformat(last))


schedules = st.builds(
    lambda every, day, at, zone: schedule(every=every, day=min(day, LAST_DAY[every]), at=at, zone=zone),
    every=st.sampled_from(("day", "week", "month")),
    day=st.integers(1, 31),
    at=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    zone=st.sampled_from(ZONES),
)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2029, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001


@given(one=schedules, moment=moments)
def test_it_comes_due_again_and_again_on_the_right_days(one: Schedule, moment: datetime) -> None:
    first = one.due_after(moment)
    second = one.due_after(first)
    longest = {"day": 2, "week": 8, "month": 32}[one.every]
    assert moment < first < second <= first + timedelta(days=longest)
    for due in (first, second):
        local = due.astimezone(ZoneInfo(one.zone))
        assert abs(datetime.combine(local.date(), one.at) - local.replace(tzinfo=None)) <= timedelta(hours=1)
        assert one.every != "week" or local.isoweekday() == one.day
        assert one.every != "month" or local.day == one.day or (local + timedelta(days=1)).day == 1


@given(one=schedules, moment=moments, days=st.integers(0, 60))
def test_nothing_between_is_left_out_but_what_is_too_long_ago(one: Schedule, moment: datetime, days: int) -> None:
    begin, end = one.due_after(moment), moment + timedelta(days=days)
    everything = []
    due = begin
    while due <= end:
        everything.append(due)
        due = one.due_after(due)
    assert one.due_until(begin, end) == everything[-MAX_CAUGHT_UP:]
    assert len({one.report_id(due) for due in everything}) == len(everything)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"every": "week", "day": 8}, "day: 1 to 7 of a week is expected"),
        ({"every": "month", "day": 32}, "day: 1 to 31 of a month"),
        ({"every": "day", "day": 2}, "day: 1 to 1 of a day"),
        ({"zone": "Europe/Atlantis"}, "zone: 'Europe/Atlantis' is not a time zone"),
        ({"zone": "../../etc/passwd"}, "zone: "),
    ],
)
def test_what_can_never_come_due_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedScheduleError, match=words):
        check(schedule(**changed))


@pytest.mark.parametrize(
    ("expected", "heard", "complete", "said"),
    [
        ([], {}, False, "no collector has ever been heard of"),
        (["a"], {}, False, "sources: 1 not heard of in time"),
        (["a", "b"], {"a": "succeeded", "b": "failed"}, True, "sources: 1 read, 1 failed"),
        (
            ["a", "b"],
            {"a": "partial", "c": "succeeded"},
            False,
            "sources: 1 read, 1 read in part, 1 not heard of in time",
        ),
    ],
)
def test_what_the_collectors_said(expected: list[str], heard: dict[str, Any], complete: bool, said: str) -> None:  # noqa: FBT001
    found = Synchronisation(frozenset(expected), heard)
    assert (found.complete, found.said()) == (complete, said)
