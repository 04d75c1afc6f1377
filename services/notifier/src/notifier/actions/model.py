"""Who has to be asked about what; pure."""

from __future__ import annotations

from enum import StrEnum

from tallyport.contracts.actions import Quote


class Reason(StrEnum):
    """Why a request was decided the way it was."""

    NOT_TICKED = "not_ticked"
    SWITCH_OFF = "switch_off"
    NO_INCREASE = "no_increase"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    EXPIRED = "expired"
    UNKNOWN_CUSTOMER = "unknown_customer"


def allowed_at_once(*, ticked: bool, switch_on: bool, quote: Quote) -> Reason | None:
    """Why nobody has to be asked; None when somebody has. What cannot be computed is never taken for free."""
    if not ticked:
        return Reason.NOT_TICKED
    if not switch_on:
        return Reason.SWITCH_OFF
    if quote.difference is not None and quote.difference <= 0:
        return Reason.NO_INCREASE
    return None
