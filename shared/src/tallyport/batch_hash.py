"""The content hash of a batch: what the engine publishes and the warehouse must find again.

The hash covers the date, the revision, the hash of the batch before and the hash of every chunk, so that whoever keeps
the last hash can prove that no line of any earlier date was changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

ChunkKind = Literal["organisations", "allocations", "lines"]


@dataclass(frozen=True, slots=True)
class ChunkFact:
    """What is known of one chunk: its place, its kind, how many rows it has and the SHA-256 of its rows' bytes."""

    sequence: int
    kind: ChunkKind
    row_count: int
    sha256: str


class ChunkOrderError(ValueError):
    """The chunks of a batch are numbered 1, 2, 3 … and are hashed in that order."""


def batch_sha256(batch_date: date, revision: int, previous_sha256: str | None, chunks: Iterable[ChunkFact]) -> str:
    """The hash of a whole batch, as 64 hexadecimal digits.

    It is the SHA-256 of this ASCII text, every line ended by one line feed, where the hash before is ``-`` for the
    first batch of all::

        tallyport-batch-v1
        <batch_date>
        <revision>
        <previous_sha256>
        <sequence> <kind> <row_count> <sha256>      one line a chunk, in sequence order

    Raises:
        ChunkOrderError: when the sequence does not run 1, 2, 3 … without a gap.
    """
    digest = hashlib.sha256(
        f"tallyport-batch-v1\n{batch_date.isoformat()}\n{revision}\n{previous_sha256 or '-'}\n".encode("ascii")
    )
    for expected, chunk in enumerate(chunks, start=1):
        if chunk.sequence != expected:
            raise ChunkOrderError(f"chunk {expected} was expected, but chunk {chunk.sequence} came")
        digest.update(f"{chunk.sequence} {chunk.kind} {chunk.row_count} {chunk.sha256}\n".encode("ascii"))
    return digest.hexdigest()
