r"""Text as COPY writes it, and what the formats can hold of it.

Almost all rows hold nothing odd. Looking for single characters in a whole block is the cheapest way to know, so that
only the others pay for looking closer. What XML writes as entities is replaced in a whole block too: tabs and line
feeds, which are the block's structure, are none of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

REPLACEMENT: Final = "\ufffd"

_COPY_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_COPY_SPECIAL: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"})
_COPY_CHARACTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_CONTROL: Final = b"\x01"
_CONTROLS_AS_ONE: Final = bytes(0x01 if byte < 0x20 and byte not in b"\t\n" else byte for byte in range(256))  # noqa: PLR2004
_ODD_MARKS: Final = (b" \t", b"\t ", b" \n", b"\n ", "\ufffe".encode(), "\uffff".encode())
_ODD: Final = re.compile(rb"[\\\x00-\x08\x0b-\x1f]|^ | $| \t|\t |\xef\xbf[\xbe\xbf]")
_BACKSLASH: Final = b"\\"


def is_odd(block: bytes) -> bool:
    """Whether a block of rows holds a COPY escape, a character XML forbids, or a space at an end of a field."""
    return (
        _BACKSLASH in block
        or any(mark in block for mark in _ODD_MARKS)
        or block[:1] == b" "
        or _CONTROL in block.translate(_CONTROLS_AS_ONE)
    )


def odd_row(row: bytes) -> bool:
    """The same of one row."""
    return _ODD.search(row) is not None


def copy_row(fields: Sequence[str | None]) -> bytes:
    """A row as COPY's text format has it; nulls are empty fields."""
    return "\t".join((field or "").translate(_COPY_SPECIAL) for field in fields).encode() + b"\n"


def unescape(field: str) -> str:
    r"""A field as it was before COPY's text format escaped it (``\n``, ``\t``, ``\\``)."""
    if "\\" not in field:
        return field
    return _COPY_ESCAPE.sub(lambda match: _COPY_CHARACTERS.get(match[1], match[1]), field)


def visible(text: str) -> tuple[str, int]:
    """The text with every character XML forbids replaced by U+FFFD, and how many there were."""
    if _FORBIDDEN.search(text) is None:
        return text, 0
    return _FORBIDDEN.subn(REPLACEMENT, text)
