"""What the warehouse keeps of a batch, and the rules for accepting one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from tallyport.batch_hash import ChunkFact, ChunkKind, ChunkOrderError, batch_sha256
from tallyport.money import parse_decimal, plain

BatchState = Literal["loading", "loaded", "failed"]
BatchKey = tuple[date, int]
"""A batch's date and revision."""


@dataclass(frozen=True, slots=True)
class ReceivedChunk:
    """A chunk as it stood in the record. ``csv`` are its rows as COPY takes them."""

    batch_date: date
    revision: int
    sequence: int
    kind: ChunkKind
    sha256: str
    row_count: int
    csv: bytes
    columns: int
    """How many values its first row has."""

    @property
    def batch(self) -> BatchKey:
        """Which batch it belongs to."""
        return self.batch_date, self.revision

    @property
    def fact(self) -> ChunkFact:
        """What the batch hash is made of."""
        return ChunkFact(self.sequence, self.kind, self.row_count, self.sha256)


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """How a batch takes chunks: its lines go to ``line_table``, nowhere if it is loaded or ``passed_over``."""

    line_table: str | None
    passed_over: bool
    """A later revision of the date is loaded, and this one never can be."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the engine published: what the warehouse must find."""

    chunks: int
    lines: int
    sha256: str
    totals: dict[str, Decimal]
    previous_date: date | None = None
    previous_revision: int | None = None
    previous_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the warehouse has: the chunks in order, and what the lines themselves say."""

    chunks: tuple[ChunkFact, ...]
    currency_lines: dict[str, int]
    totals: dict[str, Decimal]
    previous_sha256: str | None
    """The hash of the batch before as it stands here; None when this warehouse does not hold that batch."""

    @property
    def lines(self) -> int:
        """How many lines there are, whatever their currency."""
        return sum(self.currency_lines.values())

    def sha256(self, batch: BatchKey, expected: Expected) -> str:
        """The batch hash over the chunks that are here.

        Raises:
            ChunkOrderError: the chunks do not run 1, 2, 3 … without a gap.
        """
        return batch_sha256(batch[0], batch[1], expected.previous_sha256, self.chunks)


@dataclass(frozen=True, slots=True)
class Batch:
    """A revision of a date's batch, as readers see it."""

    batch_date: date
    revision: int
    state: BatchState
    current: bool
    chunks: int
    lines: int
    sha256: str | None
    previous_date: date | None
    previous_revision: int | None
    previous_sha256: str | None
    totals: dict[str, Decimal]
    completeness: dict[str, str | int | list[str]]
    reason: str | None

    @property
    def key(self) -> BatchKey:
        """Its date and revision."""
        return self.batch_date, self.revision


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the columns still give the bytes that were received."""

    ok: bool
    sha256: str
    recomputed: str
    first_difference: str | None


@dataclass(frozen=True, slots=True)
class LevelSums:
    """What one organisation takes and pays for the lines that go through ``sold_to``, directly below it.

    ``sold_to`` is None for what it uses itself, which nobody pays it for. ``unknown`` lines have no sales or no cost
    (a level without a price; lines from before there were levels): the sums are without those.
    """

    sold_to: str | None
    currency: str
    lines: int
    sales: Decimal
    cost: Decimal
    unknown: int

    @property
    def margin(self) -> Decimal | None:
        """What remains; None while something is unknown."""
        return None if self.unknown else self.sales - self.cost


def amounts(raw: str) -> dict[str, Decimal]:
    """Sums per currency from their JSON."""
    return {currency: parse_decimal(amount) for currency, amount in json.loads(raw).items()}


def amounts_json(totals: dict[str, Decimal]) -> str:
    """Sums per currency as JSON, numbers as strings."""
    return json.dumps({currency: plain(amount) for currency, amount in sorted(totals.items())})


def mismatch(batch: BatchKey, expected: Expected, found: Found) -> str | None:
    """Why a batch whose chunks are all here cannot be accepted; None when it can.

    The counts and sums come from the stored lines, not from what the chunks say of themselves.
    """
    counted = sum(chunk.row_count for chunk in found.chunks if chunk.kind == "lines")
    if found.lines != expected.lines or counted != expected.lines:
        return f"lines: {expected.lines} were published, {found.lines} are in the warehouse"
    if expected.totals and found.totals != expected.totals:
        return f"totals: {_amounts(expected.totals)} were published, the lines sum to {_amounts(found.totals)}"
    if found.previous_sha256 is not None and found.previous_sha256 != expected.previous_sha256:
        return (
            f"chain: the batch of {expected.previous_date}, revision {expected.previous_revision}, has the hash "
            f"{found.previous_sha256} here, but this batch follows {expected.previous_sha256}"
        )
    try:
        sha256 = found.sha256(batch, expected)
    except ChunkOrderError as error:
        return f"chunks: {error}"
    if sha256 != expected.sha256:
        return f"hash: {expected.sha256} was published, the chunks here give {sha256}"
    return None


def compare(
    batch: BatchKey, stored: Expected, facts: tuple[ChunkFact, ...], again: dict[int, ChunkFact]
) -> Verification:
    """Compare each chunk's facts as loaded with the facts made again from the columns."""
    difference: str | None = None
    remade: list[ChunkFact] = []
    for fact in facts:
        # A chunk without rows leaves nothing in the columns; its bytes are the empty string.
        now = again.get(fact.sequence, ChunkFact(fact.sequence, fact.kind, 0, hashlib.sha256(b"").hexdigest()))
        remade.append(now)
        if difference is None and now != fact:
            what = f"{fact.row_count} rows, {now.row_count} now" if now.row_count != fact.row_count else "other content"
            difference = f"chunk {fact.sequence} ({fact.kind}): {what}"
    extra = sorted(set(again) - {fact.sequence for fact in facts})
    if difference is None and extra:
        difference = f"chunk {extra[0]}: rows that belong to no chunk"
    recomputed = batch_sha256(batch[0], batch[1], stored.previous_sha256, remade)
    if difference is None and recomputed != stored.sha256:
        difference = "the list of chunks differs from the one that was published"
    return Verification(difference is None, stored.sha256, recomputed, difference)


def _amounts(totals: dict[str, Decimal]) -> str:
    return ", ".join(f"{amount:f} {currency}" for currency, amount in sorted(totals.items())) or "nothing"
