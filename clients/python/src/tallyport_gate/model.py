"""What is asked, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from uuid import uuid4

Outcome = Literal["performed", "failed"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is about to act. ``language`` is the one he reads, as ``de`` or ``pt-BR``."""

    id: str
    role: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class PlanAdded:
    """So many more of a plan; negative: fewer. Never a float: a quantity is billed."""

    plan: str
    quantity_delta: int | Decimal

    def to_json(self) -> dict[str, Any]:
        """As the gate reads it."""
        return {"plan": self.plan, "quantity_delta": _decimal(self.quantity_delta)}


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """So many users go from one plan to another."""

    from_plan: str
    to_plan: str
    quantity: int | Decimal = 1

    def to_json(self) -> dict[str, Any]:
        """As the gate reads it."""
        return {"from_plan": self.from_plan, "to_plan": self.to_plan, "quantity": _decimal(self.quantity)}


@dataclass(frozen=True, slots=True)
class Action:
    """An action that may raise the bill of ``customer``.

    ``id`` makes asking again the same request: give it your job's own id if that may be run twice.
    """

    action: str
    customer: str
    actor: Actor
    items: Sequence[PlanAdded | PlanChanged]
    payload: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid4()))

    def to_json(self) -> dict[str, Any]:
        """As the gate reads it."""
        return {
            "id": self.id,
            "action": self.action,
            "customer": self.customer,
            "actor": {"id": self.actor.id, "role": self.actor.role, "language": self.actor.language},
            "items": [item.to_json() for item in self.items],
            "payload": dict(self.payload),
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's final word, or that there is none yet (``decision`` is None)."""

    request_id: str
    decision: Literal["allowed", "declined"] | None
    reason: str | None
    confirmation_id: str | None
    quote: dict[str, Any] | None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Decision:
        """Read the gate's answer. What is not exactly "allowed" allows nothing."""
        said = raw.get("decision")
        return cls(
            request_id=str(raw["request_id"]),
            decision=said if said in ("allowed", "declined") else None,
            reason=raw.get("reason"),
            confirmation_id=raw.get("confirmation_id"),
            quote=raw.get("quote"),
        )


@dataclass(slots=True)
class Permit:
    """The action may be performed, once, now. ``unreported`` is an outcome that the gate could not be told."""

    decision: Decision
    unreported: Outcome | None = None

    @property
    def reason(self) -> str | None:
        """Why it is allowed."""
        return self.decision.reason


def _decimal(value: int | Decimal) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise TypeError(f"a quantity is an int or a Decimal, not {type(value).__name__}")
    return format(value, "f") if isinstance(value, Decimal) else str(value)
