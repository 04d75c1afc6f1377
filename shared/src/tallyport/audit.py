"""Entries of the audit log, and the chain that holds them together; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

START: Final = "-"
"""What the first entry has in the place of the hash before it."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something and why; ``organisation`` is whose token it was, None for the provider's."""

    name: str
    reason: str = ""
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that became different. ``before`` and ``after`` are JSON values; None where there was or is nothing."""

    action: str
    entity: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A row as it stands in the log; ``before`` and ``after`` are the texts that were hashed."""

    audit_no: int
    at: datetime
    who: str
    organisation: str | None
    action: str
    entity: str
    before: str | None
    after: str | None
    reason: str
    previous_sha256: str
    sha256: str

    def expected_sha256(self, previous: str) -> str:
        """The hash that this entry has if it is what it was, after the entry whose hash is ``previous``."""
        texts = (self.who, self.organisation, self.action, self.entity, self.before, self.after, self.reason)
        lines = [
            "tallyport-audit-v1",
            str(self.audit_no),
            self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            *(START if text is None else hashlib.sha256(text.encode()).hexdigest() for text in texts),
            previous,
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Chain:
    """How far the log was followed: the last number, its hash, and what is wrong first, if anything is."""

    entries: int = 0
    sha256: str = START
    first_difference: str | None = None


def follow(chain: Chain, entries: Iterable[Entry]) -> Chain:
    """``chain`` with the next entries looked at; it stays where something is wrong."""
    for entry in entries:
        if chain.first_difference is not None:
            return chain
        number = chain.entries + 1
        if entry.audit_no != number:
            return Chain(chain.entries, chain.sha256, f"entry {number} is missing")
        if entry.previous_sha256 != chain.sha256:
            return Chain(chain.entries, chain.sha256, f"entry {number} does not follow entry {chain.entries}")
        if entry.expected_sha256(chain.sha256) != entry.sha256:
            return Chain(chain.entries, chain.sha256, f"entry {number} ({entry.entity}) was changed")
        chain = Chain(number, entry.sha256)
    return chain
