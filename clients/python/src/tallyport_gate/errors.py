"""Why an action may not be performed. Every one of them means: not now, by nobody's permission."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class GateError(Exception):
    """The action may not be performed."""


class DeclinedError(GateError):
    """The customer said no, or nobody answered in time."""

    def __init__(self, request_id: str, reason: str, quote: dict[str, Any] | None = None) -> None:
        super().__init__(f"{request_id} is declined: {reason}")
        self.request_id = request_id
        self.reason = reason
        self.quote = quote


class UndecidedError(GateError):
    """Nobody has answered yet. Asking again with the same action gives the decision once there is one."""

    def __init__(self, request_id: str, confirmation_id: str | None) -> None:
        super().__init__(f"{request_id} waits for confirmation {confirmation_id}")
        self.request_id = request_id
        self.confirmation_id = confirmation_id


class UnavailableError(GateError):
    """The gate did not answer for as long as it was asked."""


class ConflictError(GateError):
    """The action's id was used for something else."""


class RejectedError(GateError):
    """The gate refuses the request itself: its token, its rights, or a field of it."""

    def __init__(self, status: int, detail: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.errors = list(errors)
