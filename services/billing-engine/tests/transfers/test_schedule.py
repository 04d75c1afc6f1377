"""When batches are due and which are missing, in words a billing person can check."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from billing_engine.transfers.schedule import due_at, missing, next_due

BERLIN = ZoneInfo("Europe/Berlin")
HALF_PAST_TWO = time(2, 30)


@pytest.mark.parametrize(
    ("batch_date", "at", "due"),
    [
        pytest.param(date(2026, 1, 15), HALF_PAST_TWO, "2026-01-15T01:30", id="winter"),
        pytest.param(date(2026, 7, 15), HALF_PAST_TWO, "2026-07-15T00:30", id="summer"),
        pytest.param(date(2026, 3, 29), HALF_PAST_TWO, "2026-03-29T01:30", id="a time the clock leaps over"),
        pytest.param(date(2026, 10, 25), HALF_PAST_TWO, "2026-10-25T00:30", id="a time it passes twice: the first"),
        pytest.param(date(2026, 3, 29), time(0), "2026-03-28T23:00", id="midnight before a short day"),
        pytest.param(date(2026, 3, 29), None, "2026-03-29T22:00", id="the end of a short day"),
        pytest.param(date(2026, 10, 25), None, "2026-10-25T23:00", id="the end of a long day"),
    ],
)
def test_a_batch_is_due_at_the_provider_s_local_time(batch_date: date, at: time | None, due: str) -> None:
    assert due_at(batch_date, at, BERLIN) == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_there_is_one_due_moment_a_day_all_the_year_round() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    dates: list[date] = []
    while now.year == 2026:
        now = next_due(now, HALF_PAST_TWO, BERLIN)
        dates.append(now.astimezone(BERLIN).date())
    assert dates == [date(2026, 1, 1) + timedelta(days=n) for n in range(366)]


DONE, FAILED, RUNNING = (True, "done"), (False, "failed"), (False, "running")


@pytest.mark.parametrize(
    ("now", "batches", "expected"),
    [
        pytest.param("2026-06-10T12:00", {}, [10], id="a new installation begins with today"),
        pytest.param("2026-06-10T00:00", {}, [], id="not before its time"),
        pytest.param("2026-06-10T12:00", {9: DONE}, [10], id="the day's own"),
        pytest.param("2026-06-10T00:00", {8: DONE}, [9], id="before its time only yesterday's"),
        pytest.param("2026-06-10T12:00", {10: DONE}, [], id="nothing is missing"),
        pytest.param("2026-06-10T12:00", {6: DONE, 8: DONE}, [7, 9, 10], id="three days were missed"),
        pytest.param("2026-06-10T12:00", {8: DONE, 9: FAILED}, [9, 10], id="a failed one is missing"),
        pytest.param("2026-06-10T12:00", {9: (True, "failed")}, [10], id="unless an earlier revision was whole"),
        pytest.param("2026-06-10T12:00", {1: DONE}, [6, 7, 8, 9, 10], id="no further back than it is told to go"),
    ],
)
def test_what_is_missing(now: str, batches: dict[int, tuple[bool, str]], expected: list[int]) -> None:
    found = missing(
        {date(2026, 6, day): one for day, one in batches.items()},
        datetime.fromisoformat(now).replace(tzinfo=UTC),
        at=HALF_PAST_TWO,
        zone=BERLIN,
        catch_up_days=5,
    )
    assert found == [date(2026, 6, day) for day in expected]
