"""What the HTTP interface of transfers takes and gives, with an example of each."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from billing_engine.transfers.model import Step

_STEP: Final = {
    "name": "compute-lines",
    "state": "done",
    "rows": 1200,
    "done": 400,
    "expected": 400,
    "started_at": "2026-11-23T00:00:02Z",
    "finished_at": "2026-11-23T00:00:05Z",
    "rows_per_second": 400.0,
}
_SHA: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def _example(value: Any, extra: Literal["allow", "forbid", "ignore"] = "ignore") -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]}, extra=extra)


class TransferRequest(BaseModel):
    """Begin a transfer of ``batch_date`` (default: today), or ``resume`` a failed one, from ``from_step``."""

    model_config = _example({"batch_date": "2026-11-23", "resume": False, "from_step": None})

    batch_date: date | None = None
    resume: bool = False
    from_step: Step | None = None


class StepView(BaseModel):
    """A step, and how far and how fast it is."""

    model_config = ConfigDict(extra="allow")

    name: str
    state: str
    rows: int
    started_at: datetime | None
    finished_at: datetime | None
    rows_per_second: float | None = None


class TransferView(BaseModel):
    """The run that computes and freezes a date."""

    model_config = _example(
        {
            "batch_date": "2026-11-23",
            "revision": 1,
            "usage_day": "2026-11-22",
            "as_of": None,
            "light": "green",
            "step": "await-warehouse",
            "steps": [_STEP],
            "lines": 1200,
            "chunks": 4,
            "totals": {"EUR": "5400.00"},
            "sha256": _SHA,
            "reason": None,
            "completeness": {"parked_samples": 0},
            "late_waiting": 0,
        },
        extra="allow",
    )

    batch_date: date
    revision: int
    usage_day: date
    as_of: datetime | None
    light: str
    step: str
    steps: list[StepView]
    lines: int | None
    chunks: int | None
    totals: dict[str, str]
    sha256: str | None
    reason: str | None
    completeness: dict[str, Any]
    late_waiting: int


class BatchView(BaseModel):
    """A finished revision of a date, with the hash of the one before it."""

    model_config = _example(
        {
            "batch_date": "2026-11-23",
            "revision": 1,
            "lines": 1200,
            "chunks": 4,
            "sha256": _SHA,
            "previous_date": "2026-11-22",
            "previous_revision": 1,
            "previous_sha256": _SHA,
            "totals": '{"EUR": "5400.00"}',
        },
        extra="allow",
    )

    batch_date: date
    revision: int
    lines: int
    chunks: int
    sha256: str
    previous_date: date | None
    previous_revision: int | None
    previous_sha256: str | None


class ProofView(BaseModel):
    """What hashing the frozen lines anew gave; where retention has let go of them, when, and the hash that was kept."""

    model_config = _example(
        {"ok": True, "sha256": _SHA, "recomputed": _SHA, "first_difference": None, "let_go_at": None}
    )

    ok: bool
    sha256: str
    recomputed: str
    first_difference: str | None
    let_go_at: datetime | None
