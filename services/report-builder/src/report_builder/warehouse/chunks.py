r"""From a record's bytes to rows that COPY takes, touching each value as little as possible.

A row is a JSON array of strings and nulls. Between its brackets it already is a CSV record with the quote ``"``, the
escape ``\`` and the null ``null`` - as long as no other escape is used. So a row is cut out of the record by msgspec
without decoding it, and PostgreSQL parses it once. A chunk that does use other escapes (``\n``, ``\u0001``) is
decoded and written anew.

A number where a string belongs is not refused here (it would cost three times the rest of the loading); the bytes made
again from the columns would differ, so ``verify`` tells.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import date
from itertools import chain
from typing import Final

import msgspec
from tallyport.batch_hash import ChunkKind

from report_builder.warehouse.model import ReceivedChunk

MAX_ROWS: Final = 100_000

_OTHER_ESCAPE: Final = re.compile(rb'\\[^"\\]')


_ROWS: Final = b',"rows":['
_MAX_HEAD_BYTES: Final = 512


class _Head(msgspec.Struct):
    batch_date: date
    revision: int
    sequence: int
    kind: ChunkKind
    sha256: str


class _Chunk(_Head):
    rows: msgspec.Raw


class ChunkReader:
    """Reads ``BatchChunk`` records; raises ValueError with a reason for what cannot be used."""

    def __init__(self) -> None:
        self._head = msgspec.json.Decoder(_Head)
        self._chunk = msgspec.json.Decoder(_Chunk)
        self._rows = msgspec.json.Decoder(list[msgspec.Raw])

    def __call__(self, raw: bytes, /) -> ReceivedChunk:
        """The chunk, its hash checked against the bytes between the brackets of ``rows``.

        Raises:
            ValueError: not JSON, a field missing or wrong, a hash that does not match.
        """
        chunk, array, found = self._cut(raw) or self._decoded(raw)
        if chunk.revision < 1 or chunk.sequence < 1:
            raise ValueError("revision and sequence count from 1")
        if found != chunk.sha256:
            raise ValueError(f"sha256: the rows hash to {found}, the chunk says {chunk.sha256[:64]}")
        rows = list(map(bytes, self._rows.decode(array)))
        if len(rows) > MAX_ROWS:
            raise ValueError(f"rows: {len(rows)}, at most {MAX_ROWS} are read")
        if not all(row.startswith(b"[") for row in rows):
            raise ValueError("rows: each row is an array")
        # A table of lines holds one batch, and knows which.
        batch = "" if chunk.kind == "lines" else f"{chunk.batch_date.isoformat()},{chunk.revision},"
        return ReceivedChunk(
            batch_date=chunk.batch_date,
            revision=chunk.revision,
            sequence=chunk.sequence,
            kind=chunk.kind,
            sha256=found,
            row_count=len(rows),
            columns=len(self._rows.decode(rows[0])) if rows else 0,
            csv=_csv(f"{batch}{chunk.sequence},".encode("ascii"), rows, escapes=_has_other_escapes(array)),
        )

    def _decoded(self, raw: bytes) -> tuple[_Head, bytes, str]:
        """A chunk, the array of its rows, and the hash of what is between the brackets."""
        chunk = self._chunk.decode(raw)
        array = bytes(chunk.rows)
        return chunk, array, _sha256(array)

    def _cut(self, raw: bytes) -> tuple[_Head, bytes, str] | None:
        """The same without looking into the rows, which are read anyway; None if it does not work out.

        The engine writes the rows last. What is cut off is the array of the rows if it has the hash the head claims.
        """
        at = raw.find(_ROWS, 0, _MAX_HEAD_BYTES)
        if at < 0 or not raw.endswith(b"]}"):
            return None
        try:
            head = self._head.decode(raw[:at] + b"}")
        except msgspec.MsgspecError:
            return None
        array = raw[at + len(_ROWS) - 1 : -1]
        found = _sha256(array)
        return (head, array, found) if found == head.sha256 else None


def _sha256(array: bytes) -> str:
    return hashlib.sha256(memoryview(array)[1:-1]).hexdigest()


def _has_other_escapes(array: bytes) -> bool:
    return b"\\" in array and _OTHER_ESCAPE.search(array) is not None


def _csv(prefix: bytes, rows: list[bytes], *, escapes: bool) -> bytes:
    """The rows as CSV for COPY: ``prefix`` and position before each row's own columns."""
    inner = _rewritten(rows) if escapes else [row[1:-1] for row in rows]
    heads = [b"\n%b%d," % (prefix, position) for position in range(len(inner))]
    # COPY takes an empty line for a row: the line feed goes before each row, and the block begins without one.
    return b"".join(chain.from_iterable(zip(heads, inner, strict=True)))[1:] + b"\n"


def _rewritten(rows: Sequence[bytes]) -> list[bytes]:
    decoder = msgspec.json.Decoder(list[str | None])
    return [b",".join(map(_field, decoder.decode(row))) for row in rows]


def _field(value: str | None) -> bytes:
    if value is None:
        return b"null"
    return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
