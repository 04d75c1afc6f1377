"""What the gate's HTTP interface takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from tallyport.contracts.actions import PlanAdded, Quote
from tallyport.contracts.base import Currency, DecimalText, Identifier, Sha256

LanguageTag = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
Words = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]

QUOTE: Final[dict[str, Any]] = {
    "currency": "EUR",
    "lines": [{"plan": "VB-PLUS", "quantity": "1", "unit_price": "6.50", "difference": "6.50"}],
    "before": "0", "after": "6.50", "difference": "6.50", "sha256": "9b" * 32,
}  # fmt: skip
_OPEN: Final[dict[str, Any]] = {
    "request_id": "create-user-1", "state": "open", "decision": None, "reason": None, "confirmation_id": "cf_1k8z",
    "quote": QUOTE, "decided_at": None, "expires_at": "2026-11-23T10:30:00Z", "outcome": None, "outcome_detail": None,
}  # fmt: skip


def _example(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [*examples]})


class RequestView(BaseModel):
    """A request and what became of it; `decision` stays null while somebody has to confirm."""

    model_config = _example(
        _OPEN,
        _OPEN | {"state": "decided", "decision": "allowed", "reason": "confirmed", "outcome": "performed",
                 "outcome_detail": "", "decided_at": "2026-11-23T09:31:00Z"},
    )  # fmt: skip

    request_id: str
    state: Literal["open", "decided"]
    decision: Literal["allowed", "declined"] | None
    reason: str | None
    confirmation_id: str | None
    quote: Quote | None
    decided_at: datetime | None
    expires_at: datetime | None = Field(description="until when it can be open")
    outcome: Literal["performed", "failed"] | None
    outcome_detail: str | None


class Outcome(BaseModel):
    """What the emitter made of an allowed action."""

    model_config = _example({"outcome": "performed", "detail": ""})

    outcome: Literal["performed", "failed"]
    detail: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")] = ""


class Ticked(BaseModel):
    """Whether an action is asked about, and how: what is left out is as it is by default."""

    model_config = _example({"ticked": True, "other_person": False, "two_above": {"EUR": "100"}, "valid_minutes": 60})

    ticked: bool
    other_person: bool = Field(default=False, description="whether somebody else than who asked must confirm")
    two_above: dict[Currency, DecimalText] = Field(
        default_factory=dict, description="by currency: a larger difference needs two different people"
    )
    valid_minutes: Annotated[int, Field(ge=1, le=10080)] | None = Field(
        default=None, description="how long a question is open; then it is declined"
    )


class ActionView(Ticked):
    """An action, whether it is asked about and how."""

    model_config = _example(
        {"action": "create_user", "ticked": True, "other_person": False, "two_above": {}, "valid_minutes": None}
    )

    action: str


class RegisteredAction(BaseModel):
    """An action of the provider's own: its name by language, and what it adds to the bill if a request does not say."""

    model_config = _example({"labels": {"en": "Book a room", "de": "Raum buchen"},
                             "items": [{"plan": "ROOM", "quantity_delta": "1"}]})  # fmt: skip

    labels: Annotated[dict[LanguageTag, Words], Field(min_length=1, max_length=50)]
    items: Annotated[list[PlanAdded], Field(max_length=100)] = Field(default_factory=list)


class RegisteredActionView(RegisteredAction):
    """A registered action with its name."""

    model_config = _example({"action": "book_room", "labels": {"en": "Book a room"},
                             "items": [{"plan": "ROOM", "quantity_delta": "1"}]})  # fmt: skip

    action: str


class Switch(BaseModel):
    """Whether a customer must confirm any changes that will affect its billing."""

    model_config = _example({"on": True})

    on: bool


class SwitchView(Switch):
    """A customer and its switch."""

    model_config = _example({"customer": "cust-002", "on": True})

    customer: str


class BreakGlass(BaseModel):
    """Why the gate is to stand open, and until when: a day at most."""

    model_config = _example({"reason": "the price list is being repaired", "until": "2026-11-23T12:00:00Z"})

    reason: Annotated[str, Field(min_length=3, max_length=500, pattern=r"^[^\x00]*$")]
    until: AwareDatetime


class BreakGlassView(BaseModel):
    """A time in which the gate stood open."""

    model_config = _example({"number": 1, "reason": "the price list is being repaired", "begun_by": "operator",
                             "begun_at": "2026-11-23T10:00:00Z", "ends_at": "2026-11-23T12:00:00Z",
                             "ended_by": None})  # fmt: skip

    number: int
    reason: str
    begun_by: str
    begun_at: datetime
    ends_at: datetime
    ended_by: str | None


class Answer(BaseModel):
    """The customer's word. ``quote_sha256`` says which quote was seen; then an answer to another one is refused."""

    model_config = _example({"answer": "confirm", "quote_sha256": "9b" * 32})

    answer: Literal["confirm", "decline"]
    quote_sha256: Sha256 | None = None


class BoundAnswer(Answer):
    """The word of who holds the token of a question; which quote was seen has to be said."""

    model_config = _example({"answer": "confirm", "quote_sha256": "9b" * 32})

    quote_sha256: Sha256


class AnswerView(BaseModel):
    """What an answer led to; no decision means that a second person has to confirm."""

    model_config = _example({"confirmation_id": "cf_1k8z", "decision": "allowed"})

    confirmation_id: str
    decision: Literal["allowed", "declined"] | None


class TokenWanted(BaseModel):
    """For how long a token for one question is wanted, and for whom."""

    model_config = _example({"valid_seconds": 900, "person": "ann@cust-002.example"})

    valid_seconds: Annotated[int, Field(ge=10, le=86400)] = 900
    person: Identifier | None = Field(
        default=None, description="who will answer; needed where two people, or another than who asked, must confirm"
    )


class TokenView(BaseModel):
    """A token for one question: it is shown once, and answers once."""

    model_config = _example({"token": "ct_Zk3...", "expires_at": "2026-11-23T09:45:00Z"})

    token: str
    expires_at: datetime


class QuestionView(BaseModel):
    """What a dialog shows of the question that its token is for. The HTML can be put into a page as it is."""

    model_config = _example({
        "confirmation_id": "cf_1k8z", "state": "open", "customer": "cust-002", "action": "create_user",
        "action_label": "Create a user", "language": "en", "direction": "ltr",
        "message_text": "Create a user for Example Ltd changes the bill by €6.50 a month.",
        "message_html": "<p>Create a user for <bdi>Example Ltd</bdi> changes the bill by <bdi>€6.50</bdi> a month.</p>",
        "quote": QUOTE, "expires_at": "2026-11-23T10:30:00Z", "confirmations_needed": 1, "confirmations_given": 0,
    })  # fmt: skip

    confirmation_id: str
    state: Literal["open", "confirmed", "declined", "expired", "superseded"]
    customer: str
    action: str
    action_label: str
    language: str
    direction: Literal["ltr", "rtl"]
    message_text: str
    message_html: str
    quote: Quote
    expires_at: datetime
    confirmations_needed: int
    confirmations_given: int
