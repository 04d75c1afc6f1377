"""Who is told of what, how a message is signed, and when it is tried again. Standard Webhooks, version 1.0.0."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

EventType = Literal["report.ready", "report.failed"]
EVENT_TYPES: Final[tuple[EventType, ...]] = ("report.ready", "report.failed")

RETRY_SECONDS: Final = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""How long after each try the next one is made; after the last there is none. Three days in all."""

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets of this standard begin with
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FIELDS: Final = frozenset({"name", "url", "secret_file", "events", "organisation", "allow_http"})


class WebhookFileError(ValueError):
    """The file of webhooks is not usable; the message names the entry and the field."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver. ``organisation`` narrows what it is told to the reports which that organisation may see."""

    name: str
    url: str
    secret: bytes
    events: tuple[EventType, ...]
    organisation: str | None = None

    @property
    def place(self) -> str:
        """The URL without what may be secret in it."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


@dataclass(frozen=True, slots=True)
class Message:
    """What a receiver is told, under the id by which it knows a repetition."""

    event_id: str
    type: EventType
    body: bytes
    visible_to: frozenset[str]
    at: datetime


def message(
    event_id: str, kind: EventType, data: dict[str, Any], *, at: datetime, visible_to: frozenset[str]
) -> Message:
    """The message about an event; its bytes are the same however often it is sent."""
    said = {"type": kind, "timestamp": at.isoformat().replace("+00:00", "Z"), "data": data}
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    return Message(event_id, kind, body, visible_to, at)


def signature(secret: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()}"


def next_try(attempts: int, now: datetime) -> datetime | None:
    """When to try again after so many tries; None: not any more."""
    if attempts > len(RETRY_SECONDS):
        return None
    return now + timedelta(seconds=RETRY_SECONDS[attempts - 1])


def read_webhooks(file: Path | None) -> tuple[Webhook, ...]:
    """Read ``[{"name", "url", "secret_file", "events"?, "organisation"?, "allow_http"?}]``.

    Raises:
        WebhookFileError: it is not of that form.
        OSError: a file cannot be read.
    """
    if file is None:
        return ()
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WebhookFileError(f"{file}: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise WebhookFileError(f"{file}: a JSON list of objects is expected")
    found = tuple(_webhook(f"{file}: {number}", entry, file.parent) for number, entry in enumerate(entries))
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WebhookFileError(f"{file}: the name {twice[0]!r} is there more than once")
    return found


def _webhook(place: str, entry: dict[str, Any], folder: Path) -> Webhook:
    if unknown := sorted(entry.keys() - _FIELDS):
        raise WebhookFileError(f"{place}.{unknown[0]}: there is no such field; there are {', '.join(sorted(_FIELDS))}")
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WebhookFileError(f"{place}.name: letters a-z, digits and - are expected, at most 63")
    events = tuple(entry.get("events", EVENT_TYPES))
    if not events or not set(events) <= set(EVENT_TYPES):
        raise WebhookFileError(f"{place}.events: some of {', '.join(EVENT_TYPES)} are expected")
    return Webhook(
        name=name,
        url=_url(place, entry.get("url"), allow_http=entry.get("allow_http") is True),
        secret=_secret(place, folder / str(entry.get("secret_file", ""))),
        events=events,
        organisation=entry.get("organisation"),
    )


def _url(place: str, url: Any, *, allow_http: bool) -> str:
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise WebhookFileError(f"{place}.url: https://host/path is expected, without a user")
    if parts.scheme == "http" and not (allow_http or _is_loopback(parts.hostname)):
        raise WebhookFileError(f'{place}.url: messages go over https; "allow_http": true allows this one')
    return str(url)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(place: str, file: Path) -> bytes:
    text = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        secret = b""
    if not text.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise WebhookFileError(
            f"{place}.secret_file: a file with {SECRET_PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in "
            "base64 is expected"
        )
    return secret
