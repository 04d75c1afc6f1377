"""Questions, and the tokens that open them; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tallyport.contracts.actions import Quote


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One question and what became of it: open, confirmed, declined, expired or superseded.

    ``needed`` different people must confirm; ``confirmed_by`` are those who have.
    """

    id: str
    request: str
    customer: str
    state: str
    quote: Quote
    expires_at: datetime
    needed: int
    other_person: bool
    confirmed_by: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token for one question is for; ``person`` is who it was made for, None where nobody said."""

    confirmation: str
    person: str | None
    expires_at: datetime
    used_at: datetime | None
