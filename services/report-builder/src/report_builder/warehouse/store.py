"""The warehouse's tables."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeAlias

import asyncpg
from tallyport.batch_hash import ChunkFact
from tallyport.contracts.billing import (
    ALLOCATION_COLUMNS,
    LINE_COLUMNS,
    LINE_COLUMNS_BEFORE_LEVELS,
    ORGANISATION_COLUMNS,
)
from tallyport.postgres.queries import load_queries

from report_builder.warehouse.model import (
    Batch,
    BatchKey,
    BatchState,
    Expected,
    Found,
    OpenBatch,
    ReceivedChunk,
    amounts,
    amounts_json,
)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_QUERIES: Final = load_queries("report_builder.warehouse")
_PLACE: Final = ("sequence", "position")
_BATCH: Final = ("batch_date", "revision")
_TABLES: Final = {
    "organisations": ("batch_organisation", (*_BATCH, *_PLACE, *ORGANISATION_COLUMNS)),
    "allocations": ("batch_allocation", (*_BATCH, *_PLACE, *ALLOCATION_COLUMNS)),
}
_LINE_COLUMNS: Final = (*_PLACE, *LINE_COLUMNS)
# A batch that was published before lines held the levels may still be read from the topic.
_EARLIER_LINE_COLUMNS: Final = (*_PLACE, *LINE_COLUMNS_BEFORE_LEVELS)
_COPY_TIMEOUT_SECONDS: Final = 300


class UnknownBatchError(LookupError):
    """There is no such revision of that date in the warehouse, or it is not loaded."""


async def ensure_batches(connection: Connection, batches: Iterable[BatchKey]) -> None:
    """Know of ``batches``."""
    known = sorted(set(batches))
    await connection.execute(_QUERIES["ensure_batches"], [key[0] for key in known], [key[1] for key in known])


async def open_batches(connection: Connection, batches: Iterable[BatchKey]) -> dict[BatchKey, OpenBatch]:
    """How each of ``batches``, which are known, takes chunks."""
    known = sorted(set(batches))
    rows = await connection.fetch(_QUERIES["open_batches"], [key[0] for key in known], [key[1] for key in known])
    return {(row["batch_date"], row["revision"]): OpenBatch(row["line_table"], row["passed_over"]) for row in rows}


async def enter_chunks(connection: Connection, chunks: Sequence[ReceivedChunk]) -> set[tuple[date, int, int]]:
    """Enter chunks; returns (date, revision, sequence) of those that were not known."""
    rows = await connection.fetch(
        _QUERIES["enter_chunks"],
        [chunk.batch_date for chunk in chunks],
        [chunk.revision for chunk in chunks],
        [chunk.sequence for chunk in chunks],
        [chunk.kind for chunk in chunks],
        [chunk.row_count for chunk in chunks],
        [chunk.sha256 for chunk in chunks],
    )
    return {(row["batch_date"], row["revision"], row["sequence"]) for row in rows}


async def known_chunks(
    connection: Connection, chunks: Sequence[ReceivedChunk]
) -> dict[tuple[date, int, int], tuple[str, str]]:
    """The kind and hash held for each of ``chunks`` that is known."""
    rows = await connection.fetch(
        _QUERIES["known_chunks"],
        [chunk.batch_date for chunk in chunks],
        [chunk.revision for chunk in chunks],
        [chunk.sequence for chunk in chunks],
    )
    return {(row["batch_date"], row["revision"], row["sequence"]): (row["kind"], row["sha256"]) for row in rows}


async def copy_rows(
    connection: Connection, chunks: Sequence[ReceivedChunk], line_tables: Mapping[BatchKey, str]
) -> None:
    """Store the rows of ``chunks``, the lines in the tables of their batches.

    Raises:
        asyncpg.DataError, asyncpg.IntegrityConstraintViolationError: the rows are not what their kind says.
    """
    wanted: dict[tuple[str, tuple[str, ...]], list[bytes]] = {}
    for chunk in chunks:
        if chunk.row_count:
            target = (line_tables[chunk.batch], _columns(chunk)) if chunk.kind == "lines" else _TABLES[chunk.kind]
            wanted.setdefault(target, []).append(chunk.csv)
    for (table, columns), blocks in wanted.items():
        await connection.copy_to_table(
            table,
            source=_each(blocks),
            columns=columns,
            format="csv",
            quote='"',
            escape="\\",
            null="null",
            timeout=_COPY_TIMEOUT_SECONDS,
        )


def _columns(chunk: ReceivedChunk) -> tuple[str, ...]:
    earlier = chunk.columns == len(LINE_COLUMNS_BEFORE_LEVELS)
    return _EARLIER_LINE_COLUMNS if earlier else _LINE_COLUMNS


async def _each(blocks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


async def wait_for_loaders(connection: Connection, batch: BatchKey) -> None:
    """Hold the batch as soon as nobody is adding to it."""
    await connection.execute(_QUERIES["wait_for_loaders"], *batch)


async def attach_lines(connection: Connection, batch: BatchKey) -> None:
    """The batch's lines are complete: from here on they are read, and nobody can add to them."""
    await connection.execute(_QUERIES["attach_line_table"], *batch)


async def drop_failed(connection: Connection, batch: BatchKey) -> None:
    """Drop all that is here of a batch that failed, but the fact itself."""
    await connection.execute(_QUERIES["drop_failed_batch"], *batch)


async def passed_over(connection: Connection, batch: BatchKey) -> list[BatchKey]:
    """The earlier revisions of the date that can never become whole now, and of which something is left here."""
    rows = await connection.fetch(_QUERIES["passed_over_batches"], *batch)
    return [(batch[0], row["revision"]) for row in rows]


async def lock_batch(connection: Connection, batch: BatchKey) -> tuple[BatchState, Expected | None]:
    """Hold the batch; its state and what was published of it, if anything was.

    Raises:
        UnknownBatchError: nothing of the batch has come yet.
    """
    row = await connection.fetchrow(_QUERIES["lock_batch"], *batch)
    if row is None:
        raise UnknownBatchError(f"batch {batch[0]}, revision {batch[1]}, is not in the warehouse")
    return row["state"], _expected(row)


async def loaded(connection: Connection, batch: BatchKey) -> Expected:
    """What was published, and found, of a loaded batch.

    Raises:
        UnknownBatchError: the batch is not loaded here.
    """
    row = await connection.fetchrow(_QUERIES["loaded_batch"], *batch)
    expected = _expected(row) if row else None
    if expected is None:
        raise UnknownBatchError(f"batch {batch[0]}, revision {batch[1]}, is not loaded in the warehouse")
    return expected


def _expected(row: asyncpg.Record) -> Expected | None:
    if row["expected_sha256"] is None:
        return None
    return Expected(
        chunks=row["expected_chunks"],
        lines=row["expected_lines"],
        sha256=row["expected_sha256"],
        totals=amounts(row["expected_totals"]),
        previous_date=row["previous_date"],
        previous_revision=row["previous_revision"],
        previous_sha256=row["previous_sha256"],
    )


async def expect(
    connection: Connection, batch: BatchKey, expected: Expected, completeness: dict[str, str | int | list[str]]
) -> None:
    """Note what was published."""
    await connection.execute(
        _QUERIES["expect"],
        *batch,
        expected.chunks,
        expected.lines,
        expected.sha256,
        amounts_json(expected.totals),
        expected.previous_date,
        expected.previous_revision,
        expected.previous_sha256,
        json.dumps(completeness, sort_keys=True, ensure_ascii=False),
    )


async def count_chunks(connection: Connection, batch: BatchKey) -> int:
    """How many chunks of the batch are here."""
    return int(await connection.fetchval(_QUERIES["count_chunks"], *batch))


async def chunk_facts(connection: Connection, batch: BatchKey) -> tuple[ChunkFact, ...]:
    """The batch's chunks, in sequence order."""
    rows = await connection.fetch(_QUERIES["chunk_facts"], *batch)
    return tuple(ChunkFact(row["sequence"], row["kind"], row["row_count"], row["sha256"]) for row in rows)


async def find(connection: Connection, batch: BatchKey, expected: Expected) -> Found:
    """What is in the warehouse of the batch, counted and summed from the rows."""
    totals = await connection.fetch(_QUERIES["line_totals"], *batch)
    previous: str | None = None
    if expected.previous_date is not None and expected.previous_revision is not None:
        previous = await connection.fetchval(
            _QUERIES["loaded_sha256"], expected.previous_date, expected.previous_revision
        )
    return Found(
        chunks=await chunk_facts(connection, batch),
        currency_lines={row["currency"]: row["lines"] for row in totals},
        totals={row["currency"]: row["total"] for row in totals},
        previous_sha256=previous,
    )


async def close_batch(
    connection: Connection,
    batch: BatchKey,
    state: BatchState,
    *,
    reason: str | None,
    found: Found | None = None,
    at: datetime,
) -> None:
    """The batch is loaded, or failed for ``reason``; a loaded one becomes its date's current revision."""
    await connection.execute(
        _QUERIES["close_batch"],
        *batch,
        state,
        reason,
        amounts_json(found.totals if found else {}),
        json.dumps(found.currency_lines if found else {}, sort_keys=True),
        at,
    )
    if state == "loaded":
        await connection.execute(_QUERIES["make_current"], *batch)


async def batches(connection: Connection, from_date: date, to_date: date) -> list[Batch]:
    """Every revision of every date of the period, both ends inclusive."""
    rows = await connection.fetch(_QUERIES["batches"], from_date, to_date)
    return [
        Batch(**{**row, "totals": amounts(row["totals"]), "completeness": json.loads(row["completeness"])})
        for row in map(dict, rows)
    ]


async def chunks_again(connection: Connection, batch: BatchKey) -> dict[int, ChunkFact]:
    """The facts of every chunk, made again from the columns, by sequence."""
    again: dict[int, ChunkFact] = {}
    for name in ("organisation_chunks_again", "allocation_chunks_again", "line_chunks_again"):
        for row in await connection.fetch(_QUERIES[name], *batch):
            again[row["sequence"]] = ChunkFact(row["sequence"], row["kind"], row["row_count"], row["sha256"])
    return again


async def loading_batches(connection: Connection) -> list[dict[str, Any]]:
    """Batches that are not whole yet: date, revision, chunks here and chunks expected (None: not published yet)."""
    return [dict(row) for row in await connection.fetch(_QUERIES["loading_batches"])]
