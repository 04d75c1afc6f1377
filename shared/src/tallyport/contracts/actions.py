"""The gate's topics: ``billable-actions.requested``/``.decided`` and ``confirmations.required``/``.answered``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from tallyport.contracts.base import Contract, Currency, DecimalText, Identifier, Instant, Sha256, Text

VARIANTS = {"create_auto_attendant": ("main", "secondary", "menu_item")}
"""What an action may be in particular; a request that names none is about the first."""

ACTIONS = (
    "create_user", "change_user_bundle", "create_group", "create_auto_attendant", "create_call_flow",
    "create_general_mailbox",
)  # fmt: skip


MAX_MESSAGE_CHARACTERS = 8000


class Actor(Contract):
    """Who is about to act."""

    TYPE: ClassVar[str] = "tallyport.billable-actions.requested.v1"

    id: Identifier
    role: Identifier
    language: str | None = None


class PlanAdded(Contract):
    """So many more (or fewer) of a plan."""

    TYPE: ClassVar[str] = "tallyport.billable-actions.requested.v1"

    plan: Identifier
    quantity_delta: DecimalText


class PlanChangedFor(Contract):
    """So many users go from one plan to another."""

    TYPE: ClassVar[str] = "tallyport.billable-actions.requested.v1"

    from_plan: Identifier
    to_plan: Identifier
    quantity: DecimalText


class ActionRequest(Contract):
    """An action another service is about to perform.

    Without ``items``, what a registered action adds to the bill is what its registration says.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "create-user-1",
                    "action": "create_user",
                    "customer": "cust-002",
                    "actor": {"id": "admin@cust-002.example", "role": "customer_administrator", "language": "en"},
                    "items": [{"plan": "VB-PLUS", "quantity_delta": "1"}],
                    "payload": {"upn": "new.colleague@cust-002.example"},
                }
            ]
        }
    )

    TYPE: ClassVar[str] = "tallyport.billable-actions.requested.v1"

    id: Identifier
    action: Identifier
    variant: Identifier | None = None
    customer: Identifier
    actor: Actor
    items: Annotated[list[PlanAdded | PlanChangedFor], Field(max_length=1000)] = Field(default_factory=list)
    payload: dict[str, Any] = Field(default_factory=dict)


class QuoteLine(Contract):
    """What one item adds; ``unit_price`` and ``difference`` are absent when no price is known."""

    TYPE: ClassVar[str] = "tallyport.confirmations.required.v1"

    plan: Identifier
    quantity: DecimalText
    unit_price: DecimalText | None = None
    difference: DecimalText | None = None


class Quote(Contract):
    """What an action adds to the bill, per period, in the customer's currency; no ``difference``: not computable.

    ``before`` and ``after`` are what the plans that it is about cost without it and with it.
    """

    TYPE: ClassVar[str] = "tallyport.confirmations.required.v1"

    currency: Currency | None = None
    lines: list[QuoteLine]
    before: DecimalText | None = None
    after: DecimalText | None = None
    difference: DecimalText | None = None
    sha256: Sha256


class ConfirmationRequired(Contract):
    """Somebody of the customer must confirm or decline."""

    TYPE: ClassVar[str] = "tallyport.confirmations.required.v1"

    confirmation_id: Identifier
    request_id: Identifier
    action: Identifier
    customer: Identifier
    actor: Actor
    message: Annotated[str, Field(max_length=MAX_MESSAGE_CHARACTERS)]
    message_html: Annotated[str, Field(max_length=4 * MAX_MESSAGE_CHARACTERS)] | None = None
    language: str
    confirmations_needed: int = 1
    quote: Quote
    expires_at: Instant


class ConfirmationAnswered(Contract):
    """The answer, bound to the quote that was shown."""

    TYPE: ClassVar[str] = "tallyport.confirmations.answered.v1"

    confirmation_id: Identifier
    customer: Identifier
    answer: Literal["confirm", "decline"]
    answered_by: Identifier
    quote_sha256: Sha256


class ActionDecided(Contract):
    """The notifier's final word on a request."""

    TYPE: ClassVar[str] = "tallyport.billable-actions.decided.v1"

    request_id: Identifier
    action: Identifier
    customer: Identifier
    decision: Literal["allowed", "declined"]
    reason: Identifier
    confirmation_id: Identifier | None = None
    quote: Quote | None = None
    decided_at: Instant


class ActionOutcome(Contract):
    """What became of an allowed action: the service that asked performed it, or could not."""

    TYPE: ClassVar[str] = "tallyport.billable-actions.outcomes.v1"

    request_id: Identifier
    customer: Identifier
    outcome: Literal["performed", "failed"]
    detail: Text = ""
