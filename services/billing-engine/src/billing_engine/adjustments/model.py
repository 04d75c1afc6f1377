"""An adjustment and how it becomes a line; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from tallyport.money import minor_digits, plain, round_half_away


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What was said by hand. ``state`` is open, approved, being_billed, billed or withdrawn."""

    id: int
    customer: str
    amount: Decimal
    currency: str
    description: str
    reason: str
    service: str | None
    reference: str | None
    author: str
    created_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    withdrawn_by: str | None
    withdrawn_at: datetime | None
    batch_date: date | None
    state: str


@dataclass(frozen=True, slots=True)
class Bound:
    """An adjustment that a batch bills, below ``levels`` organisations that are not the root."""

    customer_no: int
    id: int
    customer: str
    amount: Decimal
    currency: str
    description: str
    reason: str
    service: str | None
    reference: str | None
    author: str
    approved_by: str | None
    levels: int

    @property
    def total(self) -> Decimal:
        """The amount, with all digits of its currency."""
        return round_half_away(self.amount, minor_digits(self.currency))

    def line(self) -> tuple[str | None, ...]:
        """As it travels. Every level passes it on as it is; the provider bears it."""
        total = plain(self.total)
        approved = f" approved:{self.approved_by}" if self.approved_by else ""
        return (
            self.customer, self.service or "", "adjustment", "adjustment", f"adjustment-{self.id}", None, "adjustment",
            None, self.description, "", "", self.reference or "", "1", total, "0", total, self.currency,
            f"reason:{self.reason}", f"adjustment:{self.id}", f"author:{self.author}{approved}",
            " ".join([total] * self.levels), " ".join([total] * self.levels),
            plain(round_half_away(Decimal(0), minor_digits(self.currency))),
        )  # fmt: skip


def why_not_amount(amount: Decimal, currency: str) -> str | None:
    """Why an amount cannot be billed in a currency; None when it can."""
    digits = minor_digits(currency)
    if amount == 0:
        return "an adjustment of nothing changes nothing"
    if round_half_away(amount, digits) != amount:
        return f"{plain(amount)} has more than the {digits} decimals of {currency}"
    return None


def why_not_approve(known: Adjustment, by: str) -> str | None:
    """Why ``by`` may not approve; None when they may."""
    if known.state != "open":
        return f"adjustment {known.id} is {known.state.replace('_', ' ')}"
    if known.author == by:
        return f"{by} wrote adjustment {known.id}; somebody else has to approve it"
    return None


def why_not_withdraw(known: Adjustment) -> str | None:
    """Why it cannot be withdrawn; None when it can."""
    if known.state in {"open", "approved"}:
        return None
    if known.state == "billed":
        return f"adjustment {known.id} is billed with {known.batch_date}; create one of the opposite amount"
    return f"adjustment {known.id} is {known.state.replace('_', ' ')}"
