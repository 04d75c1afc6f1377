"""Which days' samples are taken in: none that retention would let go at the next hour."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from billing_engine.usage.model import DayWindow

TODAY = date(2026, 6, 10)


@pytest.mark.parametrize(
    ("keep_days", "days_ago", "taken_in"),
    [
        (400, 400, True), (400, 401, False), (100, 100, True), (100, 101, False), (900, 400, True), (900, 401, False),
        (100, -2, True), (100, -3, False),
    ],
)  # fmt: skip
def test_a_sample_is_as_old_as_it_would_be_kept_at_most(keep_days: int, days_ago: int, *, taken_in: bool) -> None:
    why_not = DayWindow.around(TODAY, keep_days).why_not(TODAY - timedelta(days=days_ago))
    assert (why_not is None) == taken_in
