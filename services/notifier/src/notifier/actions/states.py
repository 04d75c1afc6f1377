"""What can become of a request: one table, by which the code runs and from which the documentation is drawn; pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class State(StrEnum):
    """Where a request stands. It is open in two of them, and decided for ever in the others."""

    NEW = "new"
    OPEN = "open"
    HALF_CONFIRMED = "half_confirmed"
    ALLOWED = "allowed"
    DECLINED = "declined"
    EXPIRED = "expired"
    PERFORMED = "performed"
    FAILED = "failed"

    @property
    def decision(self) -> str | None:
        """``allowed`` or ``declined``, None while it is open."""
        if self in {State.ALLOWED, State.PERFORMED, State.FAILED}:
            return "allowed"
        return "declined" if self in {State.DECLINED, State.EXPIRED} else None


class Step(StrEnum):
    """What happens to a request."""

    PASS = "nobody has to be asked"  # noqa: S105 - no secret
    REFUSE = "nobody can be asked"
    ASK = "somebody has to be asked"
    FIRST_YES = "the first of two confirms"
    YES = "the last who must confirms"
    NO = "somebody declines"
    PRICE_MOVED = "the price has moved: asked anew"
    TIME_OUT = "the time runs out"
    PERFORMED = "the emitter has performed it"
    FAILED = "the emitter could not perform it"


TRANSITIONS: Final[Mapping[tuple[State, Step], State]] = MappingProxyType(
    {
        (State.NEW, Step.PASS): State.ALLOWED,
        (State.NEW, Step.REFUSE): State.DECLINED,
        (State.NEW, Step.ASK): State.OPEN,
        (State.OPEN, Step.FIRST_YES): State.HALF_CONFIRMED,
        (State.OPEN, Step.YES): State.ALLOWED,
        (State.OPEN, Step.NO): State.DECLINED,
        (State.OPEN, Step.PRICE_MOVED): State.OPEN,
        (State.OPEN, Step.TIME_OUT): State.EXPIRED,
        (State.OPEN, Step.REFUSE): State.DECLINED,
        (State.HALF_CONFIRMED, Step.YES): State.ALLOWED,
        (State.HALF_CONFIRMED, Step.NO): State.DECLINED,
        (State.HALF_CONFIRMED, Step.PRICE_MOVED): State.OPEN,
        (State.HALF_CONFIRMED, Step.TIME_OUT): State.EXPIRED,
        (State.HALF_CONFIRMED, Step.REFUSE): State.DECLINED,
        (State.ALLOWED, Step.PERFORMED): State.PERFORMED,
        (State.ALLOWED, Step.FAILED): State.FAILED,
    }
)


class ImpossibleStepError(ValueError):
    """A step that the table does not have; the message names state and step."""


def after(state: State, step: Step) -> State:
    """Where a request stands after ``step``.

    Raises:
        ImpossibleStepError: it cannot happen to a request in ``state``.
    """
    found = TRANSITIONS.get((state, step))
    if found is None:
        raise ImpossibleStepError(f"{step.value}: not in the state {state.value}")
    return found


def diagram() -> str:
    """The table as a Mermaid state diagram, which the documentation shows."""
    lines = ["stateDiagram-v2"]
    lines += [
        f"    {'[*]' if state is State.NEW else state.value} --> {target.value}: {step.value}".replace(
            ": asked anew", ", asked anew"
        )
        for (state, step), target in TRANSITIONS.items()
    ]
    leaving = {state for state, _ in TRANSITIONS}
    lines += [f"    {state.value} --> [*]" for state in State if state not in leaving]
    return "\n".join(lines)
