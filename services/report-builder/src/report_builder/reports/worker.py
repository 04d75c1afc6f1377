"""Working off the open reports: one process a render, taken up again when it or this service was killed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import asyncpg
import structlog
from tallyport.correlation import correlated
from tallyport.messaging.backoff import Backoff
from tallyport.postgres.pool import TRANSIENT_ERRORS
from tallyport.settings import DatabaseSettings

from report_builder.reports import store
from report_builder.reports.model import Report
from report_builder.reports.render import Order
from report_builder.reports.service import ReportService, outcome_of
from report_builder.settings import ObjectStoreSettings

log = structlog.get_logger()

LOOK_SECONDS: Final = 5
"""How often to look for reports nobody woke us for: those another instance gave up."""
_STOP_SECONDS: Final = 3


class RenderEndedError(RuntimeError):
    """The rendering process ended without an outcome."""


class ReportAwayError(RuntimeError):
    """Something the rendering process needs is away."""


class ReportWorker:
    """Takes open reports, oldest first, as many at a time as there are loops of ``run``."""

    def __init__(
        self,
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        service: ReportService,
        database: DatabaseSettings,
        objects: ObjectStoreSettings,
        max_attempts: int,
    ) -> None:
        self._pool = pool
        self._service = service
        self._database = database
        self._objects = objects
        self._max_attempts = max_attempts
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._busy: set[str] = set()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def stop(self) -> None:
        """Take nothing more and end what is under way; it is taken up again after the restart."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Work until stopped."""
        backoff = Backoff(self._stopping)
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                worked = await self._work_once()
            except TRANSIENT_ERRORS as error:
                log.warning("reports_wait", error=f"{type(error).__name__}: {error}")
                await backoff.wait()
            except ReportAwayError as error:
                log.warning("reports_wait", error=str(error))
                await backoff.wait()
            except Exception:  # a defect met by one report must not keep all others waiting; its attempts are counted
                log.exception("report_attempt_broke")
                await backoff.wait()
            else:
                backoff.reset()
                if not worked:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)

    async def _work_once(self) -> bool:
        # The lock lives as long as this connection: whoever holds it is alive, without any clock to compare.
        async with self._pool.acquire() as connection:
            session: Any = connection
            report_id = await store.take_next(session, self._busy)
            if report_id is None:
                return False
            self._busy.add(report_id)
            try:
                await self._attend(report_id, session)
            finally:
                self._busy.discard(report_id)
                with suppress(*TRANSIENT_ERRORS):
                    await store.give_back(session, report_id)
        return True

    async def _attend(self, report_id: str, session: Any) -> None:
        report = await self._service.begin(report_id)
        if report is None:
            return
        with correlated(report.correlation_id):
            await self._attempt(report, session)

    async def _attempt(self, report: Report, session: Any) -> None:
        report_id = report.wanted.report_id
        if report.attempts > self._max_attempts:
            await self._service.failed(
                report_id,
                f"rendering ended unexpectedly {self._max_attempts} times; see the service's log, then ask again",
            )
            return
        try:
            message = await self._render(report, session)
        except RenderEndedError as error:
            log.warning("render_ended", report_id=report_id, attempt=report.attempts, error=str(error))
            return
        if message is None:
            await self._service.forgive(report_id)
        elif "done" in message:
            await self._service.ready(report_id, outcome_of(message["done"]))
        elif "failed" in message:
            await self._service.failed(report_id, message["failed"])
        elif "cancelled" in message:
            log.info("render_ended", report_id=report_id, attempt=report.attempts, error="cancelled")
        else:
            await self._service.forgive(report_id, message["away"])
            raise ReportAwayError(message["away"])

    async def _render(self, report: Report, session: Any) -> dict[str, Any] | None:
        """Run the rendering process to its end; None when it was stopped because the service stops."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "report_builder.reports.render",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        reading = asyncio.create_task(self._listen(process, report))
        stopping = asyncio.create_task(self._stopping.wait())
        lost = asyncio.create_task(_until_lost(session))
        try:
            await asyncio.wait([reading, stopping, lost], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
            if lost.done():
                raise ConnectionError("the database connection that held the report's lock is gone")
            return None
        finally:
            for task in (reading, stopping, lost):
                task.cancel()
            await _end(process)

    async def _listen(self, process: asyncio.subprocess.Process, report: Report) -> dict[str, Any]:
        if process.stdin is None or process.stdout is None:
            raise RenderEndedError("the rendering process has no pipes")
        with suppress(ConnectionError):
            process.stdin.write(self._order(report).to_line())
            await process.stdin.drain()
        async for line in process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "rows_done" not in message:
                return message
            if not await self._service.progress(report.wanted.report_id, message["rows_done"], message["rows_total"]):
                return {"cancelled": True}
        raise RenderEndedError(f"exit code {await process.wait()}")

    def _order(self, report: Report) -> Order:
        return Order(
            wanted=report.wanted,
            batches=report.batches,
            missing=report.missing,
            completeness=report.completeness,
            dsn=self._database.dsn,
            password=self._database.secret(),
            store_url=self._objects.url,
            store_options=self._objects.options(),
        )


async def _until_lost(session: Any) -> None:
    lost = asyncio.Event()
    listener: Callable[[Any], None] = lambda _: lost.set()  # noqa: E731 - asyncpg keeps it by identity
    session.add_termination_listener(listener)
    try:
        await lost.wait()
    finally:
        session.remove_termination_listener(listener)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process: its standard input closes, which it watches; if that is not enough, by force."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
