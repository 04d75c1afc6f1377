"""Why somebody changes something, where the body has no place for it."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import Depends, Header

from tallyport.rest.problems import ProblemError

MAX_REASON_CHARACTERS: Final = 500


async def _reason(
    tallyport_reason: Annotated[
        str,
        Header(max_length=12 * MAX_REASON_CHARACTERS, description="Why, percent-encoded; kept in the audit log."),
    ] = "",
) -> str:
    reason = unquote(tallyport_reason)
    if len(reason) > MAX_REASON_CHARACTERS or "\x00" in reason:
        detail = f"Tallyport-Reason: at most {MAX_REASON_CHARACTERS} characters, none of them NUL"
        errors = [{"field": "Tallyport-Reason", "message": detail}]
        raise ProblemError(422, "The request is not valid", detail, errors)
    return reason


Reason = Annotated[str, Depends(_reason)]
