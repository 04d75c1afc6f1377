"""Taking a transfer's steps: one run of a date at a time, whoever takes them, and again after a crash."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import date
from typing import Any, Final

import asyncpg
import structlog
from aiokafka.errors import KafkaError
from tallyport.clock import Clock
from tallyport.contracts.billing import TransferState, transfer_correlation
from tallyport.correlation import correlated
from tallyport.messaging.backoff import Backoff
from tallyport.messaging.runtime import MessagingRuntime
from tallyport.postgres.pool import TRANSIENT_ERRORS

from billing_engine.billing_views.model import ViewFailedError
from billing_engine.billing_views.running import ViewRunner
from billing_engine.transfers import store
from billing_engine.transfers.corrections.service import Corrector
from billing_engine.transfers.freezing import LineFreezer, one_snapshot
from billing_engine.transfers.model import Step, Transfer, TransferCancelledError
from billing_engine.transfers.publisher import ChunkPublisher, Published
from billing_engine.transfers.service import TOPIC, replace
from billing_engine.usage.service import UsageService

log = structlog.get_logger()

LOOK_SECONDS: Final = 15.0


class TransferRunner:
    """Runs whatever transfers have work to do. A database or broker that is away is waited for, the light orange."""

    def __init__(
        self,
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        messaging: MessagingRuntime,
        publisher: ChunkPublisher,
        usage: UsageService,
        clock: Clock,
        views: ViewRunner,
        corrector: Corrector,
        customers_per_range: int,
    ) -> None:
        self._pool = pool
        self._messaging = messaging
        self._publisher = publisher
        self._usage = usage
        self._clock = clock
        self._views = views
        self._corrector = corrector
        self._customers_per_range = customers_per_range
        self._published: dict[tuple[date, int], Published] = {}
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """There may be work."""
        self._wake.set()

    def stop(self) -> None:
        """Take no further step."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Take steps until stopped."""
        backoff = Backoff(self._stopping)
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                async with self._pool.acquire() as connection:
                    todo = await store.running(connection)
                for batch_date, revision in todo:
                    with correlated(transfer_correlation(batch_date, revision)):
                        await self._run_one(batch_date, revision)
                backoff.reset()
            except (*TRANSIENT_ERRORS, KafkaError) as error:
                log.warning("transfer_interrupted", error=f"{type(error).__name__}: {error}")
                await backoff.wait()
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout=LOOK_SECONDS)

    async def _run_one(self, batch_date: date, revision: int) -> None:
        async with self._pool.acquire() as guard:
            # A lock of the session, not of a transaction: it holds over all steps and falls with the process.
            if not await guard.fetchval(
                "SELECT pg_try_advisory_lock(hashtext('tallyport.run'), $1::date - date '2000-01-01')", batch_date
            ):
                return
            try:
                await self._take_steps(batch_date, revision)
            except (*TRANSIENT_ERRORS, KafkaError):
                raise
            except TransferCancelledError:
                log.info("transfer_cancelled", batch_date=str(batch_date), revision=revision)
            except ViewFailedError as error:
                log.warning("transfer_failed", batch_date=str(batch_date), revision=revision, reason=str(error))
                await self._fail(batch_date, revision, str(error))
            except Exception as error:
                log.exception("transfer_failed", batch_date=str(batch_date), revision=revision)
                await self._fail(batch_date, revision, f"{type(error).__name__}: {error}")
            finally:
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await guard.execute("SELECT pg_advisory_unlock_all()")

    async def _take_steps(self, batch_date: date, revision: int) -> None:
        takers = {
            Step.FREEZE_USAGE: self._freeze_usage,
            Step.COMPUTE_LINES: self._compute_lines,
            Step.PUBLISH_LINES: self._publish_lines,
        }
        while not self._stopping.is_set():
            async with self._pool.acquire() as connection:
                transfer = await store.newest(connection, batch_date)
                if transfer is None or transfer.revision != revision or transfer.state != "running":
                    return
                if transfer.step is Step.AWAIT_WAREHOUSE:
                    return
                if not transfer.half_frozen:
                    await store.start_step(connection, batch_date, revision, transfer.step, self._clock.now())
            if transfer.half_frozen:
                await self._replace(transfer)
                return
            await takers[transfer.step](transfer)
            log.info("transfer_step_done", batch_date=str(batch_date), revision=revision, step=transfer.step.value)

    async def _freeze_usage(self, transfer: Transfer) -> None:
        """What is parked and has its object by now goes in; then the usage day is closed, and what follows is late."""
        async with self._messaging.unit_of_work("transfers") as uow:
            moved = await self._usage.close_day(uow, transfer.usage_day, transfer.batch_date, transfer.revision)
            await self._advance(uow.connection, transfer, Step.FREEZE_USAGE, moved, Step.COMPUTE_LINES)

    async def _compute_lines(self, transfer: Transfer) -> None:
        """From one snapshot; what is frozen is published at once, beside the computing."""
        lines = transfer.lines
        if lines is None:
            lines = await self._freeze_lines(transfer)
        async with self._pool.acquire() as connection, connection.transaction():
            await self._advance(connection, transfer, Step.COMPUTE_LINES, lines, Step.PUBLISH_LINES)

    async def _freeze_lines(self, transfer: Transfer) -> int:
        async with self._pool.acquire() as connection:
            await store.ensure_batch_date(connection, transfer.batch_date)
            parked = await self._usage.parked_count(connection)
        key = (transfer.batch_date, transfer.revision)
        async with (
            self._publisher.ahead(*key, self._clock.now()) as ahead,
            self._pool.acquire() as writing,
            one_snapshot(self._pool) as lanes,
        ):
            lines = await LineFreezer(
                lanes,
                writing,
                transfer,
                ahead,
                self._clock,
                views=self._views,
                corrector=self._corrector,
                customers_per_range=self._customers_per_range,
            ).freeze(parked)
            await ahead.settle()
        self._published[key] = ahead.published
        return lines

    async def _publish_lines(self, transfer: Transfer) -> None:
        """What is not published yet, and then the announcement that makes it count."""
        key = (transfer.batch_date, transfer.revision)
        assert transfer.frozen_at is not None  # noqa: S101 - the step before noted it with the lines
        async with self._pool.acquire() as connection:

            async def note(rows: int) -> None:
                await store.check_running(connection, *key)
                everything = max(rows, transfer.lines or 0)
                await store.note_rows(connection, *key, Step.PUBLISH_LINES, rows, done=rows, expected=everything)

            rows = await self._publisher.publish(
                connection,
                *key,
                transfer.frozen_at,
                published=self._published.pop(key, Published()),
                on_progress=note,
            )
        async with self._messaging.unit_of_work("transfers") as uow:
            # Who cancels takes the same lock: either it comes too late, or nothing is announced.
            await store.lock_date(uow.connection, transfer.batch_date)
            await store.check_running(uow.connection, *key)
            uow.publish(TOPIC, key=str(transfer.batch_date), data=_published(transfer))
            await self._advance(uow.connection, transfer, Step.PUBLISH_LINES, rows, Step.AWAIT_WAREHOUSE)

    async def _replace(self, transfer: Transfer) -> None:
        async with self._messaging.unit_of_work("transfers") as uow:
            if await replace(uow, transfer):
                log.warning("transfer_replaced", batch_date=str(transfer.batch_date), revision=transfer.revision)
                uow.after_commit(self.wake)

    async def _advance(self, connection: Any, transfer: Transfer, done: Step, rows: int, to: Step) -> None:
        at = self._clock.now()
        await store.finish_step(connection, transfer.batch_date, transfer.revision, done, rows=rows, at=at)
        await store.start_step(connection, transfer.batch_date, transfer.revision, to, at)

    async def _fail(self, batch_date: date, revision: int, reason: str) -> None:
        async with self._messaging.unit_of_work("transfers") as uow:
            await store.fail(uow.connection, batch_date, revision, reason, uow.now())
            state = TransferState(batch_date=batch_date, revision=revision, state="failed", reason=reason)
            uow.publish(TOPIC, key=str(batch_date), data=state)


def _published(transfer: Transfer) -> TransferState:
    """What the warehouse must find."""
    return TransferState(
        batch_date=transfer.batch_date,
        revision=transfer.revision,
        state="published",
        chunks=transfer.chunks or 0,
        lines=transfer.lines or 0,
        sha256=transfer.sha256,
        previous_date=transfer.previous_date,
        previous_revision=transfer.previous_revision,
        previous_sha256=transfer.previous_sha256,
        totals=transfer.totals,
        completeness=transfer.completeness,
    )
