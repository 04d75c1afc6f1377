"""When a transfer may begin, and from where it may be resumed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from billing_engine.transfers.model import Light, Step, Transfer, why_not_begin, why_not_resume

TODAY = date(2026, 5, 4)
YESTERDAY = date(2026, 5, 3)


def transfer(state: str, *, day: date = TODAY, step: Step = Step.COMPUTE_LINES, sha256: str | None = None) -> Transfer:
    absent: dict[str, Any] = dict.fromkeys(
        ("frozen_at", "as_of", "chunks", "lines", "previous_date", "previous_revision", "previous_sha256", "reason")
    )
    return Transfer(
        batch_date=day, revision=1, usage_day=day, state=state, step=step, sha256=sha256, totals={}, completeness={},
        requested_at=datetime(2026, 5, 4, tzinfo=UTC), **absent,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("day", "newest", "reason"),
    [
        (TODAY, None, None),
        (TODAY, transfer("done"), None),
        (TODAY, transfer("failed"), None),
        (TODAY, transfer("running"), "is running"),
        (YESTERDAY, None, None),
        (YESTERDAY, transfer("failed", day=YESTERDAY), None),
        (YESTERDAY, transfer("done", day=YESTERDAY), "is history"),
        (date(2026, 5, 5), None, "in the future"),
    ],
)
def test_history_is_never_touched_and_today_can_be_replaced(
    day: date, newest: Transfer | None, reason: str | None
) -> None:
    said = why_not_begin(day, TODAY, newest)
    assert (said is None) if reason is None else (said is not None and reason in said)


@pytest.mark.parametrize(
    ("newest", "step", "reason"),
    [
        (None, None, "no transfer"),
        (transfer("done"), None, "nothing to resume"),
        (transfer("running"), None, "is running"),
        (transfer("failed"), None, None),
        (transfer("failed"), Step.COMPUTE_LINES, None),
        (transfer("failed"), Step.PUBLISH_LINES, "needs computed lines"),
        (transfer("failed", sha256="x"), Step.PUBLISH_LINES, None),
        (transfer("failed", sha256="x"), Step.COMPUTE_LINES, "are frozen"),
    ],
)
def test_a_transfer_goes_on_from_where_its_lines_allow(
    newest: Transfer | None, step: Step | None, reason: str | None
) -> None:
    said = why_not_resume(TODAY, newest, step)
    assert (said is None) if reason is None else (said is not None and reason in said)


@pytest.mark.parametrize(("state", "light"), [("running", Light.ORANGE), ("done", Light.GREEN), ("failed", Light.RED)])
def test_the_light(state: str, light: Light) -> None:
    assert transfer(state).light is light
