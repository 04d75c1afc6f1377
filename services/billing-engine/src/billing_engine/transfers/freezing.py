"""Computing a batch from one snapshot and freezing it, range by range."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from tallyport.batch_hash import ChunkFact, ChunkKind, batch_sha256

from billing_engine.transfers import store
from billing_engine.transfers.model import Transfer

ROWS_PER_CHUNK: Final = 2000
CUSTOMERS_PER_RANGE: Final = 1000


class LineFreezer:
    """Freezes one transfer. ``reading`` is in a repeatable-read transaction, ``writing`` in the one that counts."""

    def __init__(
        self, reading: Any, writing: Any, transfer: Transfer, on_progress: Callable[[int], Awaitable[None]]
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._transfer = transfer
        self._on_progress = on_progress
        self._facts: list[ChunkFact] = []
        self._totals: dict[str, Decimal] = {}
        self._without_usage = 0
        self._without_price = 0
        self._lines = 0

    async def freeze(self, frozen_at: datetime, parked_samples: int) -> int:
        """Compute and freeze everything; returns the number of lines."""
        await self._reading.execute("SET LOCAL work_mem = '64MB'; SET LOCAL jit = off")
        # Row by row joins are what the planner falls into when it misjudges a range; hashing is right for all.
        await self._reading.execute("SET LOCAL enable_nestloop = off")
        customers = await store.prepare_work(self._reading, self._transfer.usage_day)
        await self._put("organisations", await store.compute_organisations(self._reading, ROWS_PER_CHUNK))
        await self._put("allocations", await store.compute_allocations(self._reading, ROWS_PER_CHUNK))
        freezing: asyncio.Task[None] | None = None
        try:
            for start in range(0, len(customers), CUSTOMERS_PER_RANGE):
                computed = await store.compute_lines(
                    self._reading,
                    customers=customers[start : start + CUSTOMERS_PER_RANGE],
                    rows_per_part=ROWS_PER_CHUNK,
                    usage_day=self._transfer.usage_day,
                )
                if freezing is not None:
                    await freezing
                freezing = asyncio.create_task(self._put_lines(computed))
            if freezing is not None:
                await freezing
        finally:
            if freezing is not None:
                freezing.cancel()
        await self._record(frozen_at, parked_samples)
        return self._lines

    async def _put(self, kind: ChunkKind, parts: list[store.Part]) -> None:
        key = (self._transfer.batch_date, self._transfer.revision)
        self._facts += await store.put_chunks(self._writing, *key, kind, parts, after=len(self._facts))

    async def _put_lines(self, computed: store.Lines) -> None:
        await self._put("lines", computed.parts)
        for code, total in computed.totals.items():
            self._totals[code] = self._totals.get(code, Decimal(0)) + total
        self._without_usage += computed.without_usage
        self._without_price += computed.without_price
        self._lines += sum(part.row_count for part in computed.parts)
        await self._on_progress(self._lines)

    async def _record(self, frozen_at: datetime, parked_samples: int) -> None:
        key = (self._transfer.batch_date, self._transfer.revision)
        dead, conflicts = await store.usage_set_aside(self._writing, _start_of(self._transfer.usage_day))
        chained_to = await store.previous(self._writing, self._transfer.batch_date)
        await store.record_lines(
            self._writing,
            *key,
            frozen_at=frozen_at,
            chunks=len(self._facts),
            lines=self._lines,
            sha256=batch_sha256(*key, chained_to[2] if chained_to else None, self._facts),
            chained_to=chained_to,
            totals=self._totals,
            completeness={
                "usage_day": str(self._transfer.usage_day),
                "lines_without_usage": self._without_usage,
                "lines_without_price": self._without_price,
                "parked_samples": parked_samples,
                "dead_lettered": dead,
                "conflicting": conflicts,
            },
        )


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
