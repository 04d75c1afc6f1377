"""Taking in chunks, completing batches, verifying them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

import asyncpg
import structlog
from tallyport.contracts.billing import TransferState, transfer_correlation
from tallyport.correlation import correlated
from tallyport.messaging.dispatch import POISON_ERRORS
from tallyport.messaging.unit_of_work import UnitOfWork

from report_builder.warehouse import store
from report_builder.warehouse.model import (
    Batch,
    BatchKey,
    Expected,
    Found,
    ReceivedChunk,
    Verification,
    compare,
    mismatch,
)

log = structlog.get_logger()

TOPIC = "warehouse.transfers"

Reject = Callable[[ReceivedChunk, str], None]


class ClosedBatchError(Exception):
    """A chunk for a batch that is loaded already: nothing is added to history."""


_REFUSALS: Final[tuple[type[BaseException], ...]] = (*POISON_ERRORS, ClosedBatchError)


async def load(uow: UnitOfWork, chunks: Sequence[ReceivedChunk], reject: Reject) -> tuple[int, int]:
    """Store the chunks of one poll and complete the batches that became whole.

    What cannot be used goes to ``reject`` with a reason, the rest is stored. Returns how many chunks were stored and
    how many were duplicates.
    """
    try:
        async with uow.connection.transaction():
            stored, duplicates, refused = await _store(uow.connection, chunks)
    except _REFUSALS as error:
        if len(chunks) == 1:
            reject(chunks[0], _reason(error))
            return 0, 0
        # One chunk among them is bad: each on its own, so that its neighbours go in.
        counts = [await load(uow, [chunk], reject) for chunk in chunks]
        return sum(count[0] for count in counts), sum(count[1] for count in counts)
    for chunk, reason in refused:
        reject(chunk, reason)
    for batch in sorted({chunk.batch for chunk in stored}):
        await complete(uow, batch)
    return len(stored), duplicates


async def _store(
    connection: store.Connection, chunks: Sequence[ReceivedChunk]
) -> tuple[list[ReceivedChunk], int, list[tuple[ReceivedChunk, str]]]:
    await store.ensure_batches(connection, (chunk.batch for chunk in chunks))
    takes = await store.open_batches(connection, (chunk.batch for chunk in chunks))
    if left := sorted({chunk.batch for chunk in chunks if takes[chunk.batch].passed_over}):
        log.info("chunks_passed_over", batches=[f"{day}/{revision}" for day, revision in left])
        chunks = [chunk for chunk in chunks if not takes[chunk.batch].passed_over]
    first: dict[tuple[date, int, int], ReceivedChunk] = {}
    for chunk in chunks:
        first.setdefault((*chunk.batch, chunk.sequence), chunk)
    new = await store.enter_chunks(connection, list(first.values()))
    held = await store.known_chunks(connection, chunks)
    stored: list[ReceivedChunk] = []
    refused: list[tuple[ReceivedChunk, str]] = []
    duplicates = 0
    for chunk in chunks:
        key = (*chunk.batch, chunk.sequence)
        if key in new and first[key] is chunk:
            stored.append(chunk)
        elif held[key] == (chunk.kind, chunk.sha256):
            duplicates += 1
        else:
            kind, sha256 = held[key]
            refused.append((chunk, f"conflict: chunk {chunk.sequence} was taken in as {kind} with the hash {sha256}"))
    tables = {batch: take.line_table for batch, take in takes.items() if take.line_table is not None}
    for chunk in stored:
        if chunk.batch not in tables:
            raise _closed(chunk.batch)
    await store.copy_rows(connection, stored, tables)
    # Only now, when the long work is done, so that another consumer with chunks of the same batch hardly waits.
    for batch in sorted({chunk.batch for chunk in stored}):
        state, _ = await store.lock_batch(connection, batch)
        if state == "loaded":
            raise _closed(batch)
    return stored, duplicates, refused


def _closed(batch: BatchKey) -> ClosedBatchError:
    return ClosedBatchError(f"batch {batch[0]}, revision {batch[1]}, is loaded; nothing is added to it")


async def published(uow: UnitOfWork, transfer: TransferState) -> None:
    """The engine says what a batch consists of: complete it now, or when the last chunk is in.

    Saying it again for a batch that is loaded repeats the answer.
    """
    batch = (transfer.batch_date, transfer.revision)
    if transfer.sha256 is None:
        raise ValueError("sha256: missing in the state 'published'")
    expected = Expected(
        chunks=transfer.chunks,
        lines=transfer.lines,
        sha256=transfer.sha256,
        totals=dict(transfer.totals),
        previous_date=transfer.previous_date,
        previous_revision=transfer.previous_revision,
        previous_sha256=transfer.previous_sha256,
    )
    await store.ensure_batches(uow.connection, [batch])
    state, held = await store.lock_batch(uow.connection, batch)
    if state == "loaded":
        await _answer_again(uow, batch, expected, held)
        return
    await store.expect(uow.connection, batch, expected, dict(transfer.completeness))
    await complete(uow, batch)


async def abandoned(uow: UnitOfWork, transfer: TransferState) -> None:
    """The engine gave a transfer up: what is here of it goes; a batch that is loaded stays loaded.

    One that was refused here stays too, for whoever looks into it, until a later revision is loaded.
    """
    batch = (transfer.batch_date, transfer.revision)
    await store.ensure_batches(uow.connection, [batch])
    await store.wait_for_loaders(uow.connection, batch)
    state, _ = await store.lock_batch(uow.connection, batch)
    if state == "loading":
        with correlated(transfer_correlation(*batch)):
            await _give_up(uow, batch, transfer.reason or "the transfer failed")


async def _give_up(uow: UnitOfWork, batch: BatchKey, reason: str) -> None:
    await store.close_batch(uow.connection, batch, "failed", reason=reason, at=uow.now())
    await store.drop_failed(uow.connection, batch)
    log.warning("batch_dropped", batch_date=str(batch[0]), revision=batch[1], reason=reason)


async def _drop_passed_over(uow: UnitOfWork, loaded: BatchKey) -> None:
    """What is left of earlier revisions that never became whole, now that a later one is loaded."""
    for batch in await store.passed_over(uow.connection, loaded):
        await store.wait_for_loaders(uow.connection, batch)
        state, _ = await store.lock_batch(uow.connection, batch)
        if state == "failed":
            await store.drop_failed(uow.connection, batch)
        elif state == "loading":
            await _give_up(uow, batch, f"revision {loaded[1]} was loaded before it was whole")


async def complete(uow: UnitOfWork, batch: BatchKey) -> None:
    """If all chunks are here, verify the batch, make it current and say so; or say why it cannot be accepted."""
    with correlated(transfer_correlation(*batch)):
        await _complete(uow, batch)


async def _complete(uow: UnitOfWork, batch: BatchKey) -> None:
    connection = uow.connection
    state, expected = await store.lock_batch(connection, batch)
    if state != "loading" or expected is None or await store.count_chunks(connection, batch) < expected.chunks:
        return
    found, reason = await _attach(connection, batch, expected)
    if reason is None:
        await store.close_batch(connection, batch, "loaded", reason=None, found=found, at=uow.now())
        log.info("batch_loaded", batch_date=str(batch[0]), revision=batch[1], lines=found.lines, sha256=expected.sha256)
        _say_loaded(uow, batch, expected, found.lines)
        await _drop_passed_over(uow, batch)
        return
    await store.close_batch(connection, batch, "failed", reason=reason, found=found, at=uow.now())
    log.error("batch_refused", batch_date=str(batch[0]), revision=batch[1], reason=reason)
    _say_failed(uow, batch, reason, chunks=len(found.chunks), lines=found.lines)


async def _attach(connection: store.Connection, batch: BatchKey, expected: Expected) -> tuple[Found, str | None]:
    """Make the batch's lines part of what is read, unless they are not what was published; then also why."""
    attempt = connection.transaction()
    await attempt.start()
    await store.attach_lines(connection, batch)
    found = await store.find(connection, batch, expected)
    reason = mismatch(batch, expected, found)
    await (attempt.commit() if reason is None else attempt.rollback())
    return found, reason


async def _answer_again(uow: UnitOfWork, batch: BatchKey, said: Expected, held: Expected | None) -> None:
    if held is not None and held.sha256 == said.sha256:
        _say_loaded(uow, batch, held, held.lines)
        return
    reason = f"revision {batch[1]} is loaded with another hash; publish a new revision"
    _say_failed(uow, batch, reason, chunks=0, lines=0)


def _say_loaded(uow: UnitOfWork, batch: BatchKey, expected: Expected, lines: int) -> None:
    state = TransferState(
        batch_date=batch[0],
        revision=batch[1],
        state="loaded",
        chunks=expected.chunks,
        lines=lines,
        sha256=expected.sha256,
        previous_date=expected.previous_date,
        previous_revision=expected.previous_revision,
        previous_sha256=expected.previous_sha256,
        totals=expected.totals,
    )
    uow.publish(TOPIC, key=batch[0].isoformat(), data=state)


def _say_failed(uow: UnitOfWork, batch: BatchKey, reason: str, *, chunks: int, lines: int) -> None:
    state = TransferState(
        batch_date=batch[0], revision=batch[1], state="failed", chunks=chunks, lines=lines, reason=reason
    )
    uow.publish(TOPIC, key=batch[0].isoformat(), data=state)


async def verify(connection: store.Connection, batch: BatchKey) -> Verification:
    """Make every chunk's bytes again from the columns and compare; names the first difference.

    Raises:
        UnknownBatchError: the batch is not loaded here.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        expected = await store.loaded(connection, batch)
        facts = await store.chunk_facts(connection, batch)
        again = await store.chunks_again(connection, batch)
    return compare(batch, expected, facts, again)


async def batches(connection: store.Connection, from_date: date, to_date: date) -> list[Batch]:
    """Every revision of every date of the period, both ends inclusive."""
    return await store.batches(connection, from_date, to_date)


def _reason(error: BaseException) -> str:
    detail = error.detail if isinstance(error, asyncpg.PostgresError) and error.detail else ""
    return f"rows: {error} {detail}".strip()
