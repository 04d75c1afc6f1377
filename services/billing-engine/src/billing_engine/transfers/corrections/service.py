"""Finding what late usage changes: each batch computed again as it was, and compared with what it froze."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from billing_engine.billing_units.model import view_works
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.model import Dates
from billing_engine.billing_views.running import ViewRunner
from billing_engine.transfers import store as transfers
from billing_engine.transfers.corrections import store
from billing_engine.transfers.corrections.model import Found, Line, Marks, Views, corrections, read_lines
from billing_engine.transfers.corrections.store import OpenBatch
from billing_engine.transfers.lines import store as lines_store
from billing_engine.transfers.model import Transfer

ROWS_PER_PART: Final = 2000
MOST_REASONS: Final = 20
REASON_CHARACTERS: Final = 300


@dataclass(slots=True)
class Late:
    """What a transfer does about late usage, for its completeness statement.

    ``open`` are the batches it looks at. It looks at none while a transfer of another date does.
    """

    open: list[OpenBatch] = field(default_factory=list)
    deferred: bool = False
    billed: int = 0
    not_billed: int = 0
    not_billed_days: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def set_aside(self, batch: OpenBatch, marks: int) -> None:
        """There was nothing to bill them by."""
        if marks:
            self.not_billed += marks
            self.not_billed_days = sorted({*self.not_billed_days, str(batch.usage_day)})

    def note_failures(self, batch: OpenBatch, views: Views) -> None:
        """Views of the batch cannot say what late usage changes."""
        self.reasons += [f"{batch.batch_date}: {reason}"[:REASON_CHARACTERS] for reason in views.reasons]

    def statement(self) -> dict[str, str | int | list[str]]:
        """As the batch's completeness statement says it."""
        said: dict[str, str | int | list[str]] = {"late_billed": self.billed, "late_not_billed": self.not_billed}
        if self.not_billed:
            said["late_not_billed_days"] = self.not_billed_days
        if self.reasons:
            said["late_not_billed_reasons"] = self.reasons[:MOST_REASONS]
        if self.deferred:
            said["late_deferred"] = "a transfer of another date was under way"
        return said


@dataclass(frozen=True, slots=True)
class Corrections:
    """The correction lines of one batch, for some customers."""

    corrects: date
    lines: list[Line]

    @property
    def totals(self) -> dict[str, Decimal]:
        """What they sum up to, per currency."""
        return totals_of(self.lines)

    def parts(self) -> list[lines_store.Part]:
        """As they are frozen."""
        return parts_of(self.lines)


def totals_of(lines: Sequence[Line]) -> dict[str, Decimal]:
    """What lines sum up to, per currency."""
    found: dict[str, Decimal] = {}
    for line in lines:
        found[line.currency] = found.get(line.currency, Decimal(0)) + Decimal(line.total)
    return found


def parts_of(lines: Sequence[Line]) -> list[lines_store.Part]:
    """Lines as they are frozen."""
    groups = [lines[at : at + ROWS_PER_PART] for at in range(0, len(lines), ROWS_PER_PART)]
    return [
        lines_store.Part(some[0].customer_id, len(some), ",".join(line.as_json() for line in some)) for some in groups
    ]


class Corrector:
    """Corrects batches up to ``lateness_days`` back, ``customers_per_range`` customers at a time."""

    def __init__(self, *, lateness_days: int, customers_per_range: int, views: ViewRunner) -> None:
        self._lateness_days = lateness_days
        self._customers_per_range = customers_per_range
        self._views = views

    async def take_over(self, lane: Any, connection: Any, transfer: Transfer) -> Late:
        """Note what ``lane`` sees as the state of ``transfer``, and take over what came late by then.

        Needs a transaction on ``connection`` that holds the lock of what is taken over.
        """
        key = (transfer.batch_date, transfer.revision)
        snapshot, taken_at = await store.current_snapshot(lane)
        late = Late(deferred=await store.another_bills_late(connection, transfer.batch_date))
        await store.put_snapshot(connection, *key, snapshot, taken_at, bills_late=not late.deferred)
        if not await store.anything_late(connection):
            return late
        oldest = self.oldest(transfer.batch_date)
        late.not_billed, late.not_billed_days = await store.too_late(connection, transfer.batch_date, oldest)
        if not late.deferred:
            late.open = await store.open_batches(connection, transfer.batch_date, oldest, snapshot)
            for batch in late.open:
                await store.put_correction(connection, *key, batch)
        return late

    def oldest(self, batch_date: date) -> date:
        """The oldest date that the batch of ``batch_date`` corrects."""
        return batch_date - timedelta(days=self._lateness_days)

    async def find(self, lane: Any, reading: Any, transfer: Transfer, late: Late) -> AsyncGenerator[Corrections, None]:
        """The corrections of every batch that ``transfer`` has taken over, in order of date and customer.

        The batches are computed on ``lane``, whose working set comes back after each. What is billed already is read
        on ``reading``, because it may be newer than what ``lane`` sees.
        """
        snapshot = await billing_views.export_snapshot(lane) if late.open else ""
        for batch in late.open:
            async with self._as_it_was(lane, batch, snapshot) as views:
                late.note_failures(batch, views)
                work = _Comparison(lane, reading, transfer.batch_date, batch, views)
                customers = await store.customers_of(lane, batch.customers)
                known = {number for number, _ in customers}
                late.set_aside(batch, await work.count([one for one in batch.customers if one not in known]))
                for at in range(0, len(customers), self._customers_per_range):
                    found = await work.correct(dict(customers[at : at + self._customers_per_range]))
                    late.set_aside(batch, found.without_line + found.unlike)
                    late.billed += len(found.lines)
                    if found.lines:
                        yield Corrections(batch.batch_date, found.lines)

    @asynccontextmanager
    async def _as_it_was(self, lane: Any, batch: OpenBatch, snapshot: str) -> AsyncIterator[Views]:
        """Let ``lane`` see the present usage, and all else as ``batch`` did; and then what it saw before.

        A view that fails on that state must not keep the present from being billed: it is left out, and said.
        """
        past = lane.transaction()
        await past.start()
        try:
            await lane.execute("DISCARD TEMP")
            await transfers.travel_to(lane, batch.moment, batch.snapshot)
            await billing_views.create_work(lane)
            await lines_store.prepare_work(lane, batch.usage_day)
            works = view_works(await lines_store.published_schemas(lane))
            dates = Dates(batch.batch_date, batch.usage_day, batch.moment)
            failed = await billing_views.fill_what_works(self._views, lane, works, dates, snapshot=snapshot)
            yield Views(
                compared=frozenset({work.source for work in works} - {work.source for work in failed}),
                failed=frozenset(work.service for work in failed),
                reasons=tuple(failed.values()),
            )
        finally:
            await past.rollback()


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One batch computed again on ``past``, beside what ``reading`` has of it, for the batch of ``batch_date``."""

    past: Any
    reading: Any
    batch_date: date
    batch: OpenBatch
    views: Views

    async def count(self, customers: Sequence[int]) -> int:
        """How much is late of customers."""
        marks = await store.marks(self.past, self.batch_date, self.batch.batch_date, customers) if customers else {}
        return sum(map(len, marks.values()))

    async def correct(self, customers: dict[int, str]) -> Found:
        """The correction lines of customers, given by number and id."""
        batch = self.batch
        marks = await store.marks(self.past, self.batch_date, batch.batch_date, list(customers))
        computed = await lines_store.compute_lines(
            self.past, customers=list(customers), rows_per_part=ROWS_PER_PART, usage_day=batch.usage_day
        )
        ids = list(customers.values())
        frozen = await store.frozen_lines(self.reading, batch.batch_date, batch.revision, ids)
        compared = self.views.compared
        has_views = compared or self.views.failed
        return corrections(
            batch.batch_date,
            batch.usage_day,
            Marks(marks, await store.places(self.past, list(marks), list(customers)) if has_views else {}),
            frozen=[line for line in frozen if line.object_id in marks or line.quantity_source in compared],
            billed=await store.billed_lines(self.reading, self.batch_date, batch.batch_date, ids),
            computed=[line for part in computed.parts for line in read_lines(part.rows)],
            views=self.views,
        )
