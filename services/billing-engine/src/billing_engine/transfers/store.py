"""Transfers in PostgreSQL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal

from tallyport.batch_hash import ChunkFact, ChunkKind
from tallyport.money import plain
from tallyport.postgres.queries import load_queries

from billing_engine.transfers.lines.store import Part
from billing_engine.transfers.model import Step, StepProgress, Transfer, TransferCancelledError

_QUERIES: Final = load_queries("billing_engine.transfers")

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class Chunk:
    """A frozen chunk: ``rows`` are the bytes between the brackets of the published array."""

    sequence: int
    kind: ChunkKind
    first_key: str
    row_count: int
    sha256: str
    rows: bytes

    @property
    def fact(self) -> ChunkFact:
        """What the batch hash is made of."""
        return ChunkFact(self.sequence, self.kind, self.row_count, self.sha256)


def _transfer(row: Any, steps: Sequence[Any]) -> Transfer:
    fields = dict(row.items())
    fields.pop("requested_by")
    fields["step"] = Step(fields["step"])
    fields["totals"] = {code: Decimal(total) for code, total in json.loads(fields["totals"]).items()}
    fields["completeness"] = json.loads(fields["completeness"])
    by_name = {row["name"]: row for row in steps}
    progress = [
        StepProgress(**{**dict(one.items()), "name": step})
        for step in Step
        if (one := by_name.get(step.value)) is not None
    ]
    return Transfer(**fields, steps=progress)


async def lock_date(connection: Connection, batch_date: date) -> None:
    """Decide alone about ``batch_date`` until the transaction ends."""
    await connection.execute(_QUERIES["lock_date"], batch_date)


async def newest(connection: Connection, batch_date: date) -> Transfer | None:
    """The newest revision of a date."""
    row = await connection.fetchrow(_QUERIES["newest_transfer"], batch_date)
    if row is None:
        return None
    return _transfer(row, await connection.fetch(_QUERIES["steps"], batch_date, row["revision"]))


async def latest(connection: Connection, limit: int, before: date | None = None) -> list[Transfer]:
    """The newest revision of each of the latest dates, or of those before one."""
    rows = await connection.fetch(_QUERIES["transfers"], before, limit)
    return [
        _transfer(row, await connection.fetch(_QUERIES["steps"], row["batch_date"], row["revision"])) for row in rows
    ]


async def running(connection: Connection) -> list[tuple[date, int]]:
    """Transfers that have work to do here: date and revision."""
    return [(row["batch_date"], row["revision"]) for row in await connection.fetch(_QUERIES["running"])]


async def create(
    connection: Connection,
    *,
    batch_date: date,
    revision: int,
    usage_day: date,
    by: str,
    at: datetime,
    as_of: datetime | None,
) -> None:
    """Enter a new run."""
    await connection.execute(_QUERIES["create_transfer"], batch_date, revision, usage_day, by, at, as_of)
    await connection.execute(_QUERIES["create_steps"], batch_date, revision, [step.value for step in Step])


async def create_after(connection: Connection, transfer: Transfer, at: datetime) -> int:
    """Enter the run that takes the place of ``transfer``; returns its revision."""
    revision = transfer.revision + 1
    await connection.execute(_QUERIES["create_transfer_after"], transfer.batch_date, transfer.revision, revision, at)
    await connection.execute(_QUERIES["create_steps"], transfer.batch_date, revision, [step.value for step in Step])
    return revision


async def resume(connection: Connection, transfer: Transfer, step: Step) -> None:
    """Let a failed run go on from ``step``."""
    order = list(Step)
    again = [one.value for one in order[order.index(step) :]]
    await connection.execute(_QUERIES["resume_transfer"], transfer.batch_date, transfer.revision, step.value)
    await connection.execute(_QUERIES["reset_steps"], transfer.batch_date, transfer.revision, again)


async def start_step(connection: Connection, batch_date: date, revision: int, step: Step, at: datetime) -> None:
    """The run is at ``step``, and the step begins."""
    await connection.execute(_QUERIES["enter_step"], batch_date, revision, step.value)
    await connection.execute(_QUERIES["run_step"], batch_date, revision, step.value, at)


async def note_rows(
    connection: Connection, batch_date: date, revision: int, step: Step, rows: int, *, done: int, expected: int
) -> None:
    """How far the running step is: rows handled, and what is done of what is expected."""
    await connection.execute(_QUERIES["step_rows"], batch_date, revision, step.value, rows, done, expected)


async def note_ahead(
    connection: Connection, batch_date: date, revision: int, step: Step, *, rows: int, at: datetime
) -> None:
    """How far a step is that runs while the one before is not done yet."""
    await connection.execute(_QUERIES["run_step"], batch_date, revision, step.value, at)
    await connection.execute(_QUERIES["step_rows"], batch_date, revision, step.value, rows, None, None)


async def finish_step(
    connection: Connection, batch_date: date, revision: int, step: Step, *, rows: int, at: datetime
) -> None:
    """The step is done."""
    await connection.execute(_QUERIES["finish_step"], batch_date, revision, step.value, rows, at)


async def fail(connection: Connection, batch_date: date, revision: int, reason: str, at: datetime) -> None:
    """Red."""
    await connection.execute(_QUERIES["fail_transfer"], batch_date, revision, reason)
    await connection.execute(_QUERIES["fail_steps"], batch_date, revision, at)


async def complete(connection: Connection, batch_date: date, revision: int) -> None:
    """Green."""
    await connection.execute(_QUERIES["complete_transfer"], batch_date, revision)


async def previous(connection: Connection, batch_date: date) -> tuple[date, int, str] | None:
    """The batch to chain to: date, revision, hash."""
    row = await connection.fetchrow(_QUERIES["previous_batch"], batch_date)
    return None if row is None else (row["batch_date"], row["revision"], row["sha256"])


async def record_lines(
    connection: Connection,
    batch_date: date,
    revision: int,
    *,
    frozen_at: datetime,
    chunks: int,
    lines: int,
    sha256: str,
    chained_to: tuple[date, int, str] | None,
    totals: dict[str, Decimal],
    completeness: dict[str, Any],
) -> None:
    """Note what was computed, in the transaction that froze it."""
    await connection.execute(
        _QUERIES["record_lines"],
        batch_date,
        revision,
        frozen_at,
        chunks,
        lines,
        sha256,
        *(chained_to or (None, None, None)),
        json.dumps({code: plain(total) for code, total in sorted(totals.items())}),
        json.dumps(completeness, sort_keys=True),
    )


async def knowledge_begins(connection: Connection) -> datetime | None:
    """Since when anything is known of the tree."""
    moment: datetime | None = await connection.fetchval(_QUERIES["knowledge_begins"])
    return moment


async def travel_to(connection: Connection, moment: datetime, snapshot: str | None = None) -> None:
    """Let the caller's transaction see the directory, the catalogue and the schemas as they were.

    ``snapshot`` leaves out what it has not seen of the moment's state.
    """
    await connection.execute(_QUERIES["travel_to"], moment, snapshot)


async def dates_since(connection: Connection, first: date) -> dict[date, tuple[bool, str]]:
    """Each date from ``first`` that has a transfer: whether it has a batch, and the newest revision's state."""
    rows = await connection.fetch(_QUERIES["dates_since"], first)
    return {row["batch_date"]: (row["has_batch"], row["state"]) for row in rows}


async def forget(connection: Connection, what: Literal["usage", "versions", "batches"], before: date) -> int:
    """Let go of what is older than ``before``; returns how many days, or versions, that were."""
    dropped: int = await connection.fetchval(_QUERIES[f"drop_{what}_before"], before)
    return dropped


async def ensure_batch_date(connection: Connection, batch_date: date) -> None:
    """Make room for a date's chunks."""
    await connection.execute(_QUERIES["ensure_batch_date"], batch_date)


def chunks_of(kind: ChunkKind, parts: Sequence[Part], *, after: int) -> list[Chunk]:
    """``parts`` as they will be frozen: chunks numbered from ``after`` + 1.

    The bytes are hashed here rather than in the database, whose SHA-256 takes ten times as long.
    """
    chunks: list[Chunk] = []
    for sequence, part in enumerate(parts, start=after + 1):
        rows = part.rows.encode()
        digest = hashlib.sha256(rows).hexdigest()
        chunks.append(Chunk(sequence, kind, part.first_key, part.row_count, digest, rows))
    return chunks


async def put_chunks(connection: Connection, batch_date: date, revision: int, chunks: Sequence[Chunk]) -> None:
    """Freeze ``chunks``."""
    await connection.executemany(
        _QUERIES["put_chunk"],
        [
            (batch_date, revision, one.sequence, one.kind, one.first_key, one.row_count, one.sha256, one.rows)
            for one in chunks
        ],
    )


async def mark_frozen_at(connection: Connection, batch_date: date, revision: int, frozen_at: datetime) -> None:
    """Note, with the lines that are frozen, that there are some: the revision can only be finished or left.

    Raises:
        TransferCancelledError: it is not running any more.
    """
    if not await connection.fetchval(_QUERIES["mark_frozen_at"], batch_date, revision, frozen_at):
        raise TransferCancelledError


async def check_running(connection: Connection, batch_date: date, revision: int) -> None:
    """See that the revision is still wanted.

    Raises:
        TransferCancelledError: it is not running any more.
    """
    if not await connection.fetchval(_QUERIES["is_running"], batch_date, revision):
        raise TransferCancelledError


async def chunks_after(connection: Connection, batch_date: date, revision: int, after: int, limit: int) -> list[Chunk]:
    """The next frozen chunks."""
    rows = await connection.fetch(_QUERIES["chunks_to_publish"], batch_date, revision, after, limit)
    return [Chunk(**dict(row.items())) for row in rows]


async def recomputed_hashes(connection: Connection, batch_date: date, revision: int) -> list[dict[str, Any]]:
    """Each chunk's hash as noted and as its bytes say now."""
    return [
        dict(row.items()) for row in await connection.fetch(_QUERIES["recompute_chunk_hashes"], batch_date, revision)
    ]


async def batches(
    connection: Connection, first: date, last: date, *, after: tuple[date, int] | None = None, limit: int
) -> list[dict[str, Any]]:
    """The finished revisions of a period (both dates inclusive), from behind ``after`` on."""
    behind = after if after is not None else (None, None)
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["batches"], first, last, *behind, limit)]


async def batch(connection: Connection, batch_date: date, revision: int) -> dict[str, Any] | None:
    """One revision's facts."""
    row = await connection.fetchrow(_QUERIES["batch"], batch_date, revision)
    return None if row is None else dict(row.items())


async def let_go_at(connection: Connection, batch_date: date, revision: int) -> datetime | None:
    """When retention let go of a revision's lines; None if they have to be there."""
    moment: datetime | None = await connection.fetchval(_QUERIES["let_go_at"], batch_date, revision)
    return moment


async def usage_set_aside(connection: Connection, since: datetime) -> tuple[int, int]:
    """Dead letters and conflicts among usage since a moment."""
    row = await connection.fetchrow(_QUERIES["lateness"], since)
    return row["dead"], row["conflicts"]
