"""How batches arrive: ``billing.quantities`` and ``warehouse.transfers``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from pydantic import ValidationError
from tallyport.contracts.billing import BatchChunk, TransferState
from tallyport.messaging.dispatch import (
    EventDispatcher,
    Refuse,
    Subscription,
    check_size,
    describe,
    reader_for,
)
from tallyport.messaging.envelope import read_envelope
from tallyport.messaging.inbox import SourceNumbers
from tallyport.messaging.record import Event, Record, UnusableRecordError
from tallyport.messaging.unit_of_work import UnitOfWork

from report_builder.warehouse import service
from report_builder.warehouse.chunks import ChunkReader
from report_builder.warehouse.model import ReceivedChunk

MAX_CHUNK_BYTES: Final = 6 * 1024 * 1024
MAX_CHUNKS_PER_POLL: Final = 8
FETCH_BYTES: Final = 3 * 1024 * 1024
"""What is read ahead: more of it only waits in memory for the COPY before it."""


class ChunkLoader:
    """Applies a poll of ``billing.quantities``.

    It does not use the inbox: a chunk is known by its place in the batch (date, revision, sequence) together with its
    hash, for as long as the batch exists, which is for ever. The same chunk published again under another event id is a
    duplicate here, as it must be when the engine resumes; the inbox would take it for something new.
    """

    def __init__(self) -> None:
        self._readers = {BatchChunk.TYPE: ChunkReader()}

    def read(self, records: Sequence[Record], refuse: Refuse) -> list[tuple[ReceivedChunk, Record]]:
        """The chunks in ``records``, each with the record it came in."""
        chunks: list[tuple[ReceivedChunk, Record]] = []
        for record in records:
            try:
                chunks.append((self._read(record), record))
            except UnusableRecordError as error:
                refuse(record, str(error))
        return chunks

    async def apply(self, uow: UnitOfWork, readings: Sequence[tuple[ReceivedChunk, Record]]) -> None:
        """Apply one poll."""
        chunks = [chunk for chunk, _ in readings]
        origin = {id(chunk): record for chunk, record in readings}
        if not chunks:
            return
        refused: list[str] = []

        def reject(chunk: ReceivedChunk, reason: str) -> None:
            refused.append(reason)
            uow.reject(origin[id(chunk)], reason)

        stored, duplicates = await service.load(uow, chunks, reject)
        uow.applied_events += stored
        uow.duplicate_events += duplicates
        uow.conflicting_events += sum(reason.startswith("conflict") for reason in refused)

    def _read(self, record: Record) -> ReceivedChunk:
        check_size(record, MAX_CHUNK_BYTES)
        reader = reader_for(read_envelope(record), self._readers)
        try:
            chunk: ReceivedChunk = reader(record.value or b"")
        except ValidationError as error:
            raise UnusableRecordError(describe(error)) from None
        except (ValueError, msgspec.MsgspecError) as error:
            raise UnusableRecordError(str(error)) from None
        return chunk


async def apply_transfers(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
    """Apply a poll of ``warehouse.transfers``; our own ``loaded`` comes back here and is not news."""
    for event in events:
        transfer: TransferState = event.data
        if transfer.state == "published":
            try:
                await service.published(uow, transfer)
            except ValueError as error:
                uow.reject(event, str(error))
        elif transfer.state == "failed":
            await service.abandoned(uow, transfer)


def warehouse_subscriptions(sources: SourceNumbers) -> list[Subscription]:
    """What the warehouse reads."""
    return [
        Subscription(
            topic="billing.quantities",
            group="report-builder.quantities",
            process=ChunkLoader(),
            max_records=MAX_CHUNKS_PER_POLL,
            fetch_max_bytes=FETCH_BYTES,
        ),
        Subscription(
            topic="warehouse.transfers",
            group="report-builder.transfers",
            process=EventDispatcher(
                handle=apply_transfers, readers={TransferState.TYPE: TransferState.read}, sources=sources
            ),
        ),
    ]
