"""Computing a batch from one snapshot; freezing it range by range, and handing on what is frozen."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import asyncpg
from tallyport.batch_hash import ChunkFact, ChunkKind, batch_sha256
from tallyport.clock import Clock

from billing_engine.adjustments import service as adjustments
from billing_engine.adjustments.model import Bound
from billing_engine.billing_units.model import view_works
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.model import Dates
from billing_engine.billing_views.running import ViewRunner
from billing_engine.collection import service as collection
from billing_engine.transfers import store
from billing_engine.transfers.corrections import store as late_store
from billing_engine.transfers.corrections.model import Line
from billing_engine.transfers.corrections.service import Corrector, Late, parts_of, totals_of
from billing_engine.transfers.lines import store as lines_store
from billing_engine.transfers.model import Step, Transfer
from billing_engine.transfers.publisher import RunningAhead

ROWS_PER_CHUNK: Final = 2000
LANES: Final = 2


@asynccontextmanager
async def one_snapshot(pool: asyncpg.Pool[asyncpg.Record]) -> AsyncIterator[list[Any]]:
    """Connections that see the database as it was at one and the same moment."""
    async with AsyncExitStack() as stack:
        lanes: list[Any] = []
        snapshot = ""
        for _ in range(LANES):
            lane = await stack.enter_async_context(pool.acquire())
            await stack.enter_async_context(lane.transaction(isolation="repeatable_read"))
            if lanes:
                await lane.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            else:
                snapshot = await lane.fetchval("SELECT pg_export_snapshot()")
            lanes.append(lane)
        yield lanes


class LineFreezer:
    """Freezes one transfer. ``lanes`` compute it from one snapshot, a range each at a time.

    On ``writing`` each range is a transaction of its own; once it is durable, ``ahead`` publishes it, while others
    are computed. Nothing of that counts before ``record_lines``: without the batch's hash nobody takes it for whole.
    """

    def __init__(
        self,
        lanes: Sequence[Any],
        writing: Any,
        transfer: Transfer,
        ahead: RunningAhead,
        clock: Clock,
        *,
        views: ViewRunner,
        corrector: Corrector,
        customers_per_range: int,
    ) -> None:
        self._lanes = lanes
        self._views = views
        self._corrector = corrector
        self._late = Late()
        self._adjustments: list[Bound] = []
        self._writing = writing
        self._transfer = transfer
        self._key = (transfer.batch_date, transfer.revision)
        self._ahead = ahead
        self._clock = clock
        self._customers_per_range = customers_per_range
        self._chunks: list[ChunkFact] = []
        self._totals: dict[str, Decimal] = {}
        self._without_usage = 0
        self._without_price = 0
        self._lines = 0
        self._customers = 0
        self._customers_done = 0

    async def freeze(self, parked_samples: int) -> int:
        """Compute, freeze and hand on everything; returns the number of lines."""
        customers, allocations = await self._begin()
        self._customers = len(customers)
        await self._take_over()
        billed = [number for batch in self._late.open for number in batch.customers]
        billed += [one.customer_no for one in self._adjustments]
        organisations = await lines_store.compute_organisations(self._lanes[0], ROWS_PER_CHUNK, billed)
        await self._keep("organisations", organisations)
        await self._keep("allocations", allocations)
        keeping: asyncio.Task[None] | None = None
        async with aclosing(self._computed(customers)) as computed:
            try:
                async for lines in computed:
                    if keeping is not None:
                        await keeping
                    keeping = asyncio.create_task(self._keep_lines(lines, customers=self._customers_per_range))
                if keeping is not None:
                    await keeping
            finally:
                if keeping is not None:
                    keeping.cancel()
        await self._correct()
        await self._adjust()
        await self._record(parked_samples)
        return self._lines

    async def _begin(self) -> tuple[list[int], list[lines_store.Part]]:
        """Fill the working sets, views and all; the customers in order, and what they were allocated."""
        first = self._lanes[0]
        customers: list[int] = []
        allocations: list[lines_store.Part] = []

        async def prepare() -> None:
            prepared = await asyncio.gather(*(self._prepare(lane) for lane in self._lanes))
            customers.extend(prepared[0])
            allocations.extend(await lines_store.compute_allocations(first, ROWS_PER_CHUNK))

        dates = Dates(self._transfer.batch_date, self._transfer.usage_day, self._transfer.as_of)
        if self._transfer.as_of is not None:
            # Which views there are is part of the state that the lanes have to travel to.
            await prepare()
        works = view_works(await lines_store.published_schemas(first))
        meanwhile = prepare if self._transfer.as_of is None else None
        await billing_views.fill(self._views, self._lanes, works, dates, meanwhile=meanwhile)
        return customers, allocations

    async def _prepare(self, lane: Any) -> list[int]:
        await lane.execute("SET LOCAL work_mem = '64MB'; SET LOCAL jit = off")
        # Row by row joins are what the planner falls into when it misjudges a range; hashing is right for all. A plan
        # made without knowing the range's customers is twice as slow.
        await lane.execute("SET LOCAL enable_nestloop = off; SET LOCAL plan_cache_mode = force_custom_plan")
        if self._transfer.as_of is not None:
            await store.travel_to(lane, self._transfer.as_of)
        await billing_views.create_work(lane)
        return await lines_store.prepare_work(lane, self._transfer.usage_day)

    async def _take_over(self) -> None:
        """Say what these lines come from, and what of earlier dates goes with them."""
        async with self._writing.transaction():
            await late_store.lock(self._writing)
            self._late = await self._corrector.take_over(self._lanes[0], self._writing, self._transfer)
            self._adjustments = await adjustments.take_over(
                self._writing, self._transfer.batch_date, only_its_own=self._late.deferred
            )

    async def _correct(self) -> None:
        """What came late for earlier batches, after the ordinary lines."""
        found = self._corrector.find(self._lanes[0], self._writing, self._transfer, self._late)
        async with aclosing(found) as all_corrections:
            async for one in all_corrections:
                first, parts = len(self._chunks) + 1, one.parts()
                await self._keep_extra(one.totals, parts)
                await late_store.note_chunks(self._writing, self._key, one.corrects, first, len(parts))

    async def _adjust(self) -> None:
        """What was said by hand, at the end."""
        lines = [Line(*one.line()) for one in self._adjustments]  # type: ignore[arg-type]
        if lines:
            await self._keep_extra(totals_of(lines), parts_of(lines))

    async def _keep_extra(self, totals: dict[str, Decimal], parts: list[lines_store.Part]) -> None:
        """Freeze lines that are about something else than the usage day."""
        rows = sum(part.row_count for part in parts)
        await late_store.put_extra(self._writing, self._key, rows, len(self._chunks) + 1)
        await self._keep_lines(lines_store.Lines(parts, totals, without_usage=0, without_price=0), customers=0)

    async def _computed(self, customers: Sequence[int]) -> AsyncGenerator[lines_store.Lines, None]:
        """The lines, range by range, in order; while one is handed on, each lane computes a later one."""
        size = self._customers_per_range
        ranges = iter([customers[at : at + size] for at in range(0, len(customers), size)])
        computing = deque((lane, self._compute(lane, some)) for lane, some in zip(self._lanes, ranges, strict=False))
        try:
            while computing:
                lane, task = computing[0]
                lines = await task
                computing.popleft()
                if (some := next(ranges, None)) is not None:
                    computing.append((lane, self._compute(lane, some)))
                yield lines
        finally:
            for _, task in computing:
                task.cancel()
            await asyncio.gather(*(task for _, task in computing), return_exceptions=True)

    def _compute(self, lane: Any, customers: Sequence[int]) -> asyncio.Task[lines_store.Lines]:
        return asyncio.create_task(
            lines_store.compute_lines(
                lane, customers=customers, rows_per_part=ROWS_PER_CHUNK, usage_day=self._transfer.usage_day
            )
        )

    async def _keep_lines(self, computed: lines_store.Lines, *, customers: int) -> None:
        for code, total in computed.totals.items():
            self._totals[code] = self._totals.get(code, Decimal(0)) + total
        self._without_usage += computed.without_usage
        self._without_price += computed.without_price
        self._lines += sum(part.row_count for part in computed.parts)
        self._customers_done = min(self._customers_done + customers, self._customers)
        await self._keep("lines", computed.parts)

    async def _keep(self, kind: ChunkKind, parts: list[lines_store.Part]) -> None:
        """Make ``parts`` durable, then publish them."""
        # Hashing lets go of the interpreter, so it does not hold up what arrives from the database meanwhile.
        chunks = await asyncio.to_thread(store.chunks_of, kind, parts, after=len(self._chunks))
        async with self._writing.transaction():
            await store.mark_frozen_at(self._writing, *self._key, self._ahead.frozen_at)
            await store.put_chunks(self._writing, *self._key, chunks)
            await store.note_rows(
                self._writing,
                *self._key,
                Step.COMPUTE_LINES,
                self._lines,
                done=self._customers_done,
                expected=self._customers,
            )
            sent, now = self._ahead.published.rows, self._clock.now()
            await store.note_ahead(self._writing, *self._key, Step.PUBLISH_LINES, rows=sent, at=now)
        self._chunks += [chunk.fact for chunk in chunks]
        await self._ahead.send(chunks)

    async def _record(self, parked_samples: int) -> None:
        async with self._writing.transaction():
            since = _start_of(self._transfer.usage_day)
            dead, conflicts = await store.usage_set_aside(self._writing, since)
            sources = await collection.completeness(self._writing, since)
            chained_to = await store.previous(self._writing, self._transfer.batch_date)
            await store.record_lines(
                self._writing,
                *self._key,
                frozen_at=self._ahead.frozen_at,
                chunks=len(self._chunks),
                lines=self._lines,
                sha256=batch_sha256(*self._key, chained_to[2] if chained_to else None, self._chunks),
                chained_to=chained_to,
                totals=self._totals,
                completeness={
                    "usage_day": str(self._transfer.usage_day),
                    **({"state_as_of": self._transfer.as_of.isoformat()} if self._transfer.as_of else {}),
                    "lines_without_usage": self._without_usage,
                    "lines_without_price": self._without_price,
                    "parked_samples": parked_samples,
                    "dead_lettered": dead,
                    "conflicting": conflicts,
                    **sources,
                    **self._late.statement(),
                    "adjustments": len(self._adjustments),
                },
            )


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
