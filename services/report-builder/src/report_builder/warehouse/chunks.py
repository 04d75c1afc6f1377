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
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

import msgspec
from tallyport.batch_hash import ChunkKind

from report_builder.warehouse.model import ReceivedChunk

MAX_ROWS: Final = 100_000

_OTHER_ESCAPE: Final = re.compile(rb'\\[^"\\]')


class _Chunk(msgspec.Struct):
    batch_date: date
    revision: int
    sequence: int
    kind: ChunkKind
    sha256: str
    rows: msgspec.Raw


class ChunkReader:
    """Reads ``BatchChunk`` records; raises ValueError with a reason for what cannot be used."""

    def __init__(self) -> None:
        self._chunk = msgspec.json.Decoder(_Chunk)
        self._rows = msgspec.json.Decoder(list[msgspec.Raw])

    def __call__(self, raw: bytes, /) -> ReceivedChunk:
        """The chunk, its hash checked against the bytes between the brackets of ``rows``.

        Raises:
            ValueError: not JSON, a field missing or wrong, a hash that does not match.
        """
        chunk = self._chunk.decode(raw)
        if chunk.revision < 1 or chunk.sequence < 1:
            raise ValueError("revision and sequence count from 1")
        array = bytes(chunk.rows)
        between = memoryview(array)[1:-1]
        found = hashlib.sha256(between).hexdigest()
        if found != chunk.sha256:
            raise ValueError(f"sha256: the rows hash to {found}, the chunk says {chunk.sha256[:64]}")
        rows = tuple(map(bytes, self._rows.decode(array)))
        if len(rows) > MAX_ROWS:
            raise ValueError(f"rows: {len(rows)}, at most {MAX_ROWS} are read")
        if not all(row.startswith(b"[") for row in rows):
            raise ValueError("rows: each row is an array")
        return ReceivedChunk(
            batch_date=chunk.batch_date,
            revision=chunk.revision,
            sequence=chunk.sequence,
            kind=chunk.kind,
            sha256=found,
            rows=rows,
            has_escapes=b"\\" in array and _OTHER_ESCAPE.search(array) is not None,
        )


def csv_blocks(chunks: Sequence[ReceivedChunk]) -> Iterator[bytes]:
    """The rows as CSV for COPY, a block a chunk: date, revision, sequence and position before the row's own columns."""
    for chunk in chunks:
        rows = _rewritten(chunk.rows) if chunk.has_escapes else [row[1:-1] for row in chunk.rows]
        prefix = f"{chunk.batch_date.isoformat()},{chunk.revision},{chunk.sequence},".encode("ascii")
        yield b"".join([b"%b%d,%b\n" % (prefix, position, row) for position, row in enumerate(rows)])


def _rewritten(rows: Sequence[bytes]) -> list[bytes]:
    decoder = msgspec.json.Decoder(list[str | None])
    return [b",".join(map(_field, decoder.decode(row))) for row in rows]


def _field(value: str | None) -> bytes:
    if value is None:
        return b"null"
    return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
