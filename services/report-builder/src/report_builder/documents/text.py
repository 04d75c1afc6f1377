r"""Text as COPY writes it, and what the formats can hold of it.

Almost all blocks of rows hold nothing that needs care. Looking for single characters in a whole block is the cheapest
way to know, so that only the others pay for looking closer.
"""

from __future__ import annotations

import re
from typing import Final

REPLACEMENT: Final = "\ufffd"

_COPY_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_COPY_CHARACTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_CONTROL_BYTES: Final = bytes(sorted({*range(0x20)} - {0x09, 0x0A}))
_NONCHARACTERS: Final = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
_BACKSLASH: Final = 0x5C


def holds(block: bytes, marks: tuple[bytes, ...]) -> bool:
    """Whether a block of rows holds one of ``marks``, a COPY escape, or a character XML forbids."""
    if _BACKSLASH in block or any(mark in block for mark in marks):
        return True
    return len(block.translate(None, _CONTROL_BYTES)) != len(block) or any(mark in block for mark in _NONCHARACTERS)


def unescape(field: str) -> str:
    r"""A field as it was before COPY's text format escaped it (``\n``, ``\t``, ``\\``)."""
    if "\\" not in field:
        return field
    return _COPY_ESCAPE.sub(lambda match: _COPY_CHARACTERS.get(match[1], match[1]), field)


def visible(text: str) -> tuple[str, int]:
    """The text with every character XML forbids replaced by U+FFFD, and how many there were."""
    return _FORBIDDEN.subn(REPLACEMENT, text)
