"""Links to an artifact: signed, bound to one part of one report, good for a while."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

How = Literal["token", "link", "signed_url"]
"""By a bearer token; by a link of ours; by the object store's own URL, of which only the making is known here."""

_CONTEXT: Final = b"tallyport download link, version 1\n"


class InvalidLinkError(ValueError):
    """The link was not made here, or was changed."""


class ExpiredLinkError(ValueError):
    """The link was good once."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link stands for. ``by`` asked for it, and answers for who uses it."""

    report_id: str
    number: int
    by: str
    expires_at: datetime

    def sign(self, key: bytes) -> str:
        """The link as text that fits into a URL."""
        said = json.dumps([self.report_id, self.number, self.by, int(self.expires_at.timestamp())]).encode()
        return f"{_encode(said)}.{_encode(_mac(key, said))}"


def read_link(text: str, key: bytes, now: datetime) -> Link:
    """The link that ``sign`` made.

    Raises:
        InvalidLinkError: it did not.
        ExpiredLinkError: its time is over.
    """
    said, _, mac = text.partition(".")
    try:
        raw, given = _decode(said), _decode(mac)
    except ValueError:
        raise InvalidLinkError("this is no link to an artifact") from None
    if not hmac.compare_digest(given, _mac(key, raw)):
        raise InvalidLinkError("this is no link to an artifact")
    report_id, number, by, expires = json.loads(raw)
    link = Link(report_id, number, by, datetime.fromtimestamp(expires, UTC))
    if link.expires_at <= now:
        raise ExpiredLinkError(f"the link was good until {link.expires_at:%Y-%m-%d %H:%M:%S} UTC; ask for another")
    return link


def _mac(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, _CONTEXT + said, hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
