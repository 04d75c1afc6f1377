"""The conversation with the gate, without any input or output: what to send next, and what an answer means.

A conversation is a generator. It yields a ``Call`` or a ``Pause``, is sent the ``Reply`` to a call (None when none
came), and returns its result. The asynchronous and the synchronous gate only carry it out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

from tallyport_gate.errors import ConflictError, DeclinedError, RejectedError, UnavailableError, UndecidedError
from tallyport_gate.model import Action, Decision, Outcome

LONGEST_WAIT_SECONDS: Final = 60
"""How long the gate lets one call wait for a decision."""
ANSWER_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
_TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Call:
    """A request to be sent; ``timeout_seconds`` is for all of it."""

    method: str
    path: str
    body: Mapping[str, Any]
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its ``Retry-After`` and its JSON, None if it is no object."""

    status: int
    retry_after: str | None
    body: Mapping[str, Any] | None


T = TypeVar("T")
Conversation = Generator[Call | Pause, Reply | None, T]
Clock = Callable[[], float]


def asking(action: Action, *, wait_seconds: float, patience_seconds: float, clock: Clock) -> Conversation[Decision]:
    """Ask until it is decided.

    Raises:
        DeclinedError, UndecidedError: it may not be performed, or not yet.
        UnavailableError, ConflictError, RejectedError: the gate says neither.
    """
    until = clock() + wait_seconds
    while True:
        left = max(0.0, until - clock())
        wait = min(int(left), LONGEST_WAIT_SECONDS)
        call = Call("POST", f"/v1/billable-actions?wait_seconds={wait}", action.to_json(), wait + ANSWER_SECONDS)
        body = yield from _insisting(call, patience_seconds, clock)
        decision = _read(body, action.id)
        if decision.decision == "allowed":
            return decision
        if decision.decision == "declined":
            raise DeclinedError(action.id, decision.reason or "", decision.quote)
        if clock() >= until or wait == 0:
            raise UndecidedError(action.id, decision.confirmation_id)


def reporting(
    request_id: str, outcome: Outcome, detail: str, *, patience_seconds: float, clock: Clock
) -> Conversation[None]:
    """Tell what became of an action that was allowed.

    Raises:
        UnavailableError, ConflictError, RejectedError: the gate did not take it.
    """
    path = f"/v1/billable-actions/{quote(request_id, safe='')}/outcome"
    call = Call("POST", path, {"outcome": outcome, "detail": detail[:1000]}, ANSWER_SECONDS)
    yield from _insisting(call, patience_seconds, clock)


def _insisting(call: Call, patience_seconds: float, clock: Clock) -> Conversation[Mapping[str, Any]]:
    """Send a call until it is answered, with growing, jittered pauses. It is safe: the id makes it the same request."""
    until = clock() + patience_seconds + call.timeout_seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        reply = yield call
        if reply is not None and reply.status not in _TRY_AGAIN:
            return _body(reply)
        wait = _retry_after(reply) or pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        if clock() + wait >= until:
            why = "no answer" if reply is None else f"status {reply.status}"
            raise UnavailableError(f"the gate does not decide: {why}")
        yield Pause(wait)


def _body(reply: Reply) -> Mapping[str, Any]:
    if reply.status in (200, 202) and reply.body is not None:
        return reply.body
    said = reply.body or {}
    detail = str(said.get("detail") or said.get("title") or "the gate's answer is not one")
    if reply.status == _CONFLICT:
        raise ConflictError(detail)
    raise RejectedError(reply.status, detail, said.get("errors") or ())


def _read(body: Mapping[str, Any], request_id: str) -> Decision:
    if body.get("request_id") != request_id:
        raise RejectedError(200, f"the answer is about {body.get('request_id')!r}, not {request_id!r}")
    return Decision.from_json(body)


def _retry_after(reply: Reply | None) -> float | None:
    said = (reply.retry_after or "") if reply is not None else ""
    return min(float(said), 60.0) if said.isdecimal() else None
