"""Beginning, resuming, confirming and proving transfers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tallyport.batch_hash import ChunkFact, batch_sha256
from tallyport.clock import Clock, today
from tallyport.contracts.billing import TransferState
from tallyport.messaging.record import Event
from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.adjustments.service import withdrawn_since
from billing_engine.audit import service as audit
from billing_engine.audit.model import ENGINE, Author, Change
from billing_engine.billing_views.model import Dates
from billing_engine.transfers import store
from billing_engine.transfers.corrections import store as late_store
from billing_engine.transfers.model import (
    Step,
    Transfer,
    TransferRefusedError,
    why_not_begin,
    why_not_cancel,
    why_not_resume,
)
from billing_engine.transfers.schedule import due_at

TOPIC = "warehouse.transfers"


@dataclass(frozen=True, slots=True)
class Proof:
    """What verifying a frozen batch found: the hash that was announced, and the one its lines give now.

    Where retention has let go of the lines, ``let_go_at`` says when: the hash is the one that was kept, by which
    batches are chained.
    """

    ok: bool
    sha256: str
    recomputed: str
    first_difference: str | None
    let_go_at: datetime | None = None


class TransferService:
    """The use cases around a transfer. ``on_begun`` wakes whoever runs the steps."""

    def __init__(
        self,
        *,
        unit_of_work: Callable[[], AbstractAsyncContextManager[UnitOfWork]],
        clock: Clock,
        zone: ZoneInfo,
        usage_day_offset: int,
        daily_at: time | None,
        on_begun: Callable[[], None],
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._zone = zone
        self._usage_day_offset = usage_day_offset
        self._daily_at = daily_at
        self._on_begun = on_begun

    def now(self) -> datetime:
        """The present moment."""
        return self._clock.now()

    def today(self) -> date:
        """Today's batch date, in the provider's time zone."""
        return today(self._clock, self._zone)

    def dates(self, batch_date: date | None = None) -> Dates:
        """Of a batch (None: today's): its date, and the day whose usage it bills."""
        batch_date = batch_date or self.today()
        return Dates(batch_date, batch_date - timedelta(days=self._usage_day_offset))

    async def begin(self, batch_date: date | None, *, by: str, why: str = "") -> Transfer:
        """Begin a transfer: of a date that has none, or a new revision of today's.

        A date that was missed is computed from the state as it was when its batch was due. Before anything was known
        at all there was no state: then the present one counts, as for the first batches of a new installation.

        Raises:
            TransferRefusedError: the date is in the future, history, or running.
        """
        wanted = batch_date or self.today()
        async with self._unit_of_work() as uow:
            await store.lock_date(uow.connection, wanted)
            newest = await store.newest(uow.connection, wanted)
            problem = why_not_begin(wanted, self.today(), newest)
            if problem is not None:
                raise TransferRefusedError(problem)
            revision = newest.revision + 1 if newest is not None else 1
            usage_day = wanted - timedelta(days=self._usage_day_offset)
            await store.create(
                uow.connection,
                batch_date=wanted,
                revision=revision,
                usage_day=usage_day,
                by=by,
                at=uow.now(),
                as_of=await self._state_of(uow.connection, wanted),
            )
            uow.publish(
                TOPIC, key=str(wanted), data=TransferState(batch_date=wanted, revision=revision, state="started")
            )
            uow.after_commit(self._on_begun)
            created = await store.newest(uow.connection, wanted)
            await _note(uow, "begun", None, created, Author(by, why))
        assert created is not None  # noqa: S101 - it was entered in this transaction
        return created

    async def _state_of(self, connection: Any, batch_date: date) -> datetime | None:
        if batch_date >= self.today():
            return None
        due = due_at(batch_date, self._daily_at, self._zone)
        begins = await store.knowledge_begins(connection)
        return due if begins is not None and begins <= due else None

    async def resume(
        self, batch_date: date | None, step: Step | None, *, by: str = ENGINE.name, why: str = ""
    ) -> Transfer:
        """Let a failed transfer go on, from ``step`` or from where it failed.

        Raises:
            TransferRefusedError: there is nothing to resume, or not from there.
        """
        wanted = batch_date or self.today()
        async with self._unit_of_work() as uow:
            await store.lock_date(uow.connection, wanted)
            newest = await store.newest(uow.connection, wanted)
            problem = why_not_resume(wanted, newest, step)
            if problem is not None or newest is None:
                raise TransferRefusedError(problem or f"there is no transfer of {wanted}")
            await late_store.lock(uow.connection)
            taken_over = await late_store.taken_over_since(uow.connection, wanted, newest.revision)
            if taken_over is not None:
                raise TransferRefusedError(
                    f"corrections or adjustments of {wanted} revision {newest.revision} are in the batch of "
                    f"{taken_over} by now; begin a new revision"
                )
            if newest.sha256 is not None and await withdrawn_since(uow.connection, wanted, newest.revision):
                raise TransferRefusedError(f"an adjustment of {wanted} was withdrawn; begin a new revision")
            start = step or newest.step
            # The announcement is what the warehouse waits for; awaiting again means announcing again.
            if start is Step.AWAIT_WAREHOUSE:
                start = Step.PUBLISH_LINES
            await store.resume(uow.connection, newest, start)
            uow.after_commit(self._on_begun)
            resumed = await store.newest(uow.connection, wanted)
            await _note(uow, "resumed", newest, resumed, Author(by, why))
        assert resumed is not None  # noqa: S101 - it was there a moment ago
        return resumed

    async def cancel(self, batch_date: date | None, *, by: str, why: str = "") -> Transfer:
        """Stop a transfer whose lines are not announced yet; it can be resumed, or begun anew.

        Raises:
            TransferRefusedError: none is running, or it is too late.
        """
        wanted = batch_date or self.today()
        async with self._unit_of_work() as uow:
            await store.lock_date(uow.connection, wanted)
            newest = await store.newest(uow.connection, wanted)
            problem = why_not_cancel(wanted, newest)
            if problem is not None or newest is None:
                raise TransferRefusedError(problem or f"there is no transfer of {wanted}")
            reason = f"cancelled by {by}"
            await store.fail(uow.connection, wanted, newest.revision, reason, uow.now())
            state = TransferState(batch_date=wanted, revision=newest.revision, state="failed", reason=reason)
            uow.publish(TOPIC, key=str(wanted), data=state)
            cancelled = await store.newest(uow.connection, wanted)
            await _note(uow, "cancelled", newest, cancelled, Author(by, why))
        assert cancelled is not None  # noqa: S101 - it was there a moment ago
        return cancelled

    async def on_warehouse_word(self, uow: UnitOfWork, events: Sequence[Event[TransferState]]) -> None:
        """The warehouse says what it loaded: green if it is the same, red if not."""
        for event in events:
            word = event.data
            if word.state not in ("loaded", "failed"):
                continue
            await store.lock_date(uow.connection, word.batch_date)
            newest = await store.newest(uow.connection, word.batch_date)
            if newest is None or newest.revision != word.revision or newest.state != "running":
                continue
            if newest.step is not Step.AWAIT_WAREHOUSE:
                continue
            problem = _why_red(newest, word)
            if problem is not None:
                await store.fail(uow.connection, word.batch_date, word.revision, problem, uow.now())
                continue
            await store.finish_step(
                uow.connection, word.batch_date, word.revision, Step.AWAIT_WAREHOUSE, rows=word.lines, at=uow.now()
            )
            await store.complete(uow.connection, word.batch_date, word.revision)


async def _note(uow: UnitOfWork, action: str, before: Transfer | None, after: Transfer | None, author: Author) -> None:
    def said(transfer: Transfer | None) -> dict[str, Any] | None:
        if transfer is None:
            return None
        return {"revision": transfer.revision, "state": transfer.state, "step": transfer.step.value}

    day = after.batch_date if after is not None else None
    await audit.record(uow, author, [Change(action, f"transfer:{day}", said(before), said(after))])


async def replace(uow: UnitOfWork, transfer: Transfer) -> bool:
    """Leave a half frozen revision for ever, and begin the next one in its place; False if it is not running any more.

    What is published of it keeps its ids, so the lines of another snapshot must not be published under them.
    """
    day = transfer.batch_date
    await store.lock_date(uow.connection, day)
    newest = await store.newest(uow.connection, day)
    if newest is None or newest.revision != transfer.revision or newest.state != "running":
        return False
    reason = f"interrupted while its lines were computed; revision {transfer.revision + 1} takes its place"
    await store.fail(uow.connection, day, transfer.revision, reason, uow.now())
    left = TransferState(batch_date=day, revision=transfer.revision, state="failed", reason=reason)
    uow.publish(TOPIC, key=str(day), data=left)
    revision = await store.create_after(uow.connection, transfer, uow.now())
    uow.publish(TOPIC, key=str(day), data=TransferState(batch_date=day, revision=revision, state="started"))
    return True


def _why_red(transfer: Transfer, word: TransferState) -> str | None:
    if word.state == "failed":
        return f"the warehouse refused the batch: {word.reason}"
    if word.lines != transfer.lines:
        return f"the warehouse loaded {word.lines} lines, {transfer.lines} were published"
    if word.sha256 != transfer.sha256:
        return f"the warehouse's hash {word.sha256} is not the published {transfer.sha256}"
    return None


async def verify(connection: Any, batch_date: date, revision: int) -> Proof | None:
    """Hash the frozen bytes of a revision anew; None if there is no such revision."""
    known = await store.batch(connection, batch_date, revision)
    if known is None or known["sha256"] is None:
        return None
    chunks = await store.recomputed_hashes(connection, batch_date, revision)
    if not chunks and (let_go_at := await store.let_go_at(connection, batch_date, revision)) is not None:
        return Proof(
            ok=True, sha256=known["sha256"], recomputed=known["sha256"], first_difference=None, let_go_at=let_go_at
        )
    difference = next(
        (
            f"chunk {chunk['sequence']} ({chunk['kind']}, from customer {chunk['first_key']}) was changed"
            for chunk in chunks
            if chunk["noted"] != chunk["sha256"]
        ),
        None,
    )
    facts = [ChunkFact(chunk["sequence"], chunk["kind"], chunk["row_count"], chunk["sha256"]) for chunk in chunks]
    recomputed = batch_sha256(batch_date, revision, known["previous_sha256"], facts)
    if difference is None and len(chunks) != known["chunks"]:
        difference = f"{known['chunks']} chunks were frozen, {len(chunks)} are there"
    if difference is None and recomputed != known["sha256"]:
        difference = "the batch hash is not the one that was announced"
    return Proof(recomputed == known["sha256"] and difference is None, known["sha256"], recomputed, difference)
