"""Who has to be asked about what; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from tallyport.contracts.actions import ACTIONS, VARIANTS, ActionRequest, PlanAdded, PlanChangedFor, Quote


class Reason(StrEnum):
    """Why a request was decided the way it was."""

    NOT_TICKED = "not_ticked"
    SWITCH_OFF = "switch_off"
    NO_INCREASE = "no_increase"
    PROVIDER_STAFF = "provider_staff"
    BREAK_GLASS = "break_glass"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    EXPIRED = "expired"
    UNKNOWN_CUSTOMER = "unknown_customer"
    UNKNOWN_ACTION = "unknown_action"


class InvalidRequestError(ValueError):
    """A request that says nothing that could be decided; the message names the field."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An action that the provider has registered: its name in languages, and what it adds if a request does not say."""

    labels: Mapping[str, str]
    items: Sequence[PlanAdded]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is said of an action and of a customer; ``switch_on`` is None where nobody said."""

    ticked: bool = False
    switch_on: bool | None = None
    other_person: bool = False
    two_above: Mapping[str, Decimal] = field(default_factory=dict)
    valid_minutes: int | None = None
    registered: Registered | None = None
    glass_broken: bool = False


def items_of(request: ActionRequest, rules: Rules) -> Sequence[PlanAdded | PlanChangedFor]:
    """What the request adds to the bill, by itself or by the action's registration.

    Raises:
        InvalidRequestError: neither says it, or the variant is not one of the action's.
    """
    if request.variant is not None and request.variant not in VARIANTS.get(request.action, ()):
        raise InvalidRequestError(f"variant: {request.variant!r} is not one of {request.action!r}")
    items = request.items or (rules.registered.items if rules.registered is not None else ())
    if not items and (request.action in ACTIONS or rules.registered is not None):
        raise InvalidRequestError("items: at least one is needed")
    return items


def refused(action: str, rules: Rules, *, customer_known: bool) -> Reason | None:
    """Why nobody can be asked; None when somebody can."""
    if not customer_known:
        return Reason.UNKNOWN_CUSTOMER
    # A misspelt action is not one that nobody ticked: it would never be asked about.
    return Reason.UNKNOWN_ACTION if action not in ACTIONS and rules.registered is None else None


def allowed_at_once(*, ticked: bool, switch_on: bool, quote: Quote, staff: bool = False) -> Reason | None:
    """Why nobody has to be asked; None when somebody has. What cannot be computed is never taken for free."""
    if not ticked:
        return Reason.NOT_TICKED
    if not switch_on:
        return Reason.SWITCH_OFF
    if quote.difference is not None and quote.difference <= 0:
        return Reason.NO_INCREASE
    return Reason.PROVIDER_STAFF if staff else None


def confirmations_needed(quote: Quote, two_above: Mapping[str, Decimal]) -> int:
    """How many different people must confirm: two above the limit of the currency.

    Where a limit is set, what has no computable amount, or an amount in a currency without a limit, needs two as well.
    """
    if not two_above:
        return 1
    limit = two_above.get(quote.currency) if quote.currency is not None else None
    return 2 if quote.difference is None or limit is None or quote.difference > limit else 1
