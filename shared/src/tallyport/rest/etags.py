"""Entity tags: what an editor compared with is what is replaced, or nothing is (RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Response
from pydantic_core import to_jsonable_python

from tallyport.rest.problems import ProblemError

_TAG: Final = re.compile(r'\s*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')
MAX_HEADER_CHARACTERS: Final = 4000


def etag_of(content: Any) -> str:
    """The strong tag of ``content``: the SHA-256 of its JSON, whatever the order of its keys."""
    text = json.dumps(to_jsonable_python(content), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()}"'


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The conditions of a request: the header fields ``If-Match`` and ``If-None-Match``."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, current: str | None, what: str, *, required: bool = False) -> None:
        """See that the thing is still what the editor saw; ``current`` is its tag, None where it does not exist.

        Raises:
            ProblemError: 412 if it is not; 428 if a condition is ``required`` and there is none.
        """
        if required and self.if_match is None and self.if_none_match is None:
            detail = f"{what}: send If-Match with the ETag of what you edited (or If-None-Match: * to make it new)"
            raise ProblemError(428, "A precondition is required", detail)
        if self.if_match is not None and not _matches(self.if_match, current, strong=True):
            now = f"its ETag is {current} now" if current is not None else "it does not exist"
            raise ProblemError(
                412,
                "It was changed meanwhile",
                f"{what}: {now}; read it again, compare, and send that ETag as If-Match",
            )
        if self.if_none_match is not None and _matches(self.if_none_match, current, strong=False):
            raise ProblemError(412, "It is there already", f"{what}: its ETag is {current}; send that as If-Match")

    def not_modified(self, current: str) -> Response | None:
        """The answer 304 if the reader has what there is."""
        if self.if_none_match is None or not _matches(self.if_none_match, current, strong=False):
            return None
        return Response(status_code=304, headers={"ETag": current})


def _matches(field: str, current: str | None, *, strong: bool) -> bool:
    if current is None:
        return False
    if field.strip() == "*":
        return True
    tags = _TAG.findall(field)
    return current in (tags if strong else [tag.removeprefix("W/") for tag in tags])


async def _preconditions(
    if_match: Annotated[
        str | None,
        Header(max_length=MAX_HEADER_CHARACTERS, description="The ETag of what was edited; 412 if it is another now."),
    ] = None,
    if_none_match: Annotated[
        str | None,
        Header(max_length=MAX_HEADER_CHARACTERS, description="On a read: 304 if it still has this ETag."),
    ] = None,
) -> Preconditions:
    return Preconditions(if_match, if_none_match)


Conditions = Annotated[Preconditions, Depends(_preconditions)]
