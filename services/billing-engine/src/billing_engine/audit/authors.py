"""Who writes in the log, from whose token a request carries."""

from __future__ import annotations

from tallyport.access.tokens import Principal

from billing_engine.audit.model import Author


def author_of(who: Principal, *reasons: str) -> Author:
    """The author of a change, with the first reason that is given."""
    return Author(who.name, next((reason for reason in reasons if reason), ""), who.organisation)
