"""Where an artifact is kept, and what is known of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]")


class ArtifactConflictError(RuntimeError):
    """There is another content under the artifact's key. Nothing is ever overwritten."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file in object storage."""

    key: str
    uri: str
    size: int
    sha256: str


def folder_of(kind: str, day: date, report_id: str) -> str:
    """The folder of a report; folders sort by the report's last date."""
    return f"{kind}/{day:%Y}/{day:%m}/{day.isoformat()}/{safe(report_id)}"


def file_name(kind: str, from_date: date, to_date: date, scope: str | None, extension: str) -> str:
    """The file's name, which says what is in it."""
    suffix = f"_{safe(scope)}" if scope else ""
    return f"{kind}_{from_date.isoformat()}_{to_date.isoformat()}{suffix}.{extension}"


def safe(text: str) -> str:
    """An identifier as one segment of a key: letters, digits, ``_`` and ``-`` as they are, others as ``=XX``.

    Different identifiers give different segments, and none means "the folder above".
    """
    return "".join(
        character if _PLAIN.fullmatch(character) else "".join(f"={byte:02X}" for byte in character.encode())
        for character in text
    )
