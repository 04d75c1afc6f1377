"""Reading sources: what is due, what was asked for, and what came of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from tallyport.clock import Clock
from tallyport.contracts.collection import CollectionRun
from tallyport.correlation import correlated
from tallyport.messaging.envelope import SOURCE_PREFIX, new_event_id
from tallyport.usage_csv import chunk_id

from usage_collector.database import Database
from usage_collector.metrics import CollectorMetrics
from usage_collector.runs import store
from usage_collector.runs.model import Run, Schedule
from usage_collector.runs.taking import SAMPLES_TOPIC, FileChangedError, StoppedError, Taker
from usage_collector.sources.csv_folder import Folder
from usage_collector.sources.model import CsvSource, PostgresSource, Source
from usage_collector.sources.postgres_sizes import ServerAwayError, Sizes, read_sizes
from usage_collector.spool.store import Message, Spool

SERVICE: Final = "usage-collector"
RUNS_TOPIC: Final = "collection.runs"
SETTLE_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 5.0

log = structlog.get_logger()


@dataclass(frozen=True)
class Surroundings:
    """What every worker works with. ``spooled`` is called when something new waits for the broker."""

    database: Database
    spool: Spool
    clock: Clock
    metrics: CollectorMetrics
    spooled: Callable[[], None]


def finish_run(surroundings: Surroundings, run: Run) -> None:
    """Close a run and tell the world, in one transaction."""
    now, tally = surroundings.clock.now(), run.tally
    event = CollectionRun(
        run_id=run.run_id,
        source=run.source,
        state=tally.outcome,
        started_at=run.started_at,
        finished_at=now,
        samples=tally.samples,
        objects=tally.objects,
        failures=tally.failures,
        failure_count=tally.failure_count,
    )
    source = f"{SOURCE_PREFIX}{SERVICE}"
    message = Message.of(RUNS_TOPIC, event, key=run.run_id, source=source, time=now, correlation_id=run.run_id)
    with surroundings.database.write() as tx:
        store.record_progress(tx, run, tally)
        store.finish(tx, run, now)
        surroundings.spool.put(tx, message, now)
    surroundings.metrics.runs.labels(run.source, tally.outcome).inc()
    surroundings.metrics.samples.labels(run.source).inc(tally.samples)
    log.info("run_finished", source=run.source, run_id=run.run_id, state=tally.outcome, samples=tally.samples)


class Worker:
    """Reads one source, one run after another."""

    def __init__(self, source: Source, surroundings: Surroundings) -> None:
        self.source = source
        self.paused: str | None = None
        self.broken: str | None = None
        self.schedule = Schedule(source.every_seconds)
        self._around = surroundings
        self._event_source = f"{SOURCE_PREFIX}{SERVICE}/{source.name}"
        self._wake = asyncio.Event()
        self.stop_flag = threading.Event()
        self._told: set[tuple[str, str]] = set()
        self._folder = Folder(source.folder) if isinstance(source, CsvSource) else None

    async def recall(self) -> None:
        """Learn when the source was last read (a restart is no reason to read it again), and make its folder."""
        self.schedule.last = await asyncio.to_thread(self._last_started)
        if self._folder is not None:
            await asyncio.to_thread(self._folder.create)

    def _last_started(self) -> Any:
        with self._around.database.read() as connection:
            return store.last_started(connection, self.source.name)

    def wake(self) -> None:
        """Somebody asked for a run."""
        self._wake.set()

    def stop_reading(self) -> None:
        """Let go of a file that is being read: it is read again after the restart."""
        self.stop_flag.set()

    async def work(self) -> None:
        """Do what is due, wait, and so on until cancelled. No mistake of one run ends the next."""
        while True:
            self._wake.clear()
            try:
                seconds = await self.step()
                self.broken = None
            except StoppedError:
                return
            except Exception as error:
                log.exception("run_broken", source=self.source.name)
                self.broken = f"{self.source.name}: {type(error).__name__}: {error}"
                seconds = RETRY_SECONDS
            try:
                await asyncio.wait_for(self._wake.wait(), timeout=seconds)
            except TimeoutError:
                continue

    async def step(self) -> float:
        """Do the one thing that is due, if any; gives the seconds until the next look."""
        clock = self._around.clock
        if not await asyncio.to_thread(self._around.spool.has_room):
            self.paused = "the spool is full"
            return PAUSE_SECONDS
        self.paused = None
        asked = await asyncio.to_thread(self._next_queued)
        if asked is not None:
            await self._read(asked, asked_for=True)
            return 0.0
        if left := self.schedule.seconds_left(clock.now()):
            return left
        self.schedule.last = clock.now()
        await self._read(Run(new_event_id(), self.source.name, clock.now()), asked_for=False)
        return PAUSE_SECONDS if self.paused else self.schedule.seconds_left(clock.now())

    def _next_queued(self) -> Run | None:
        with self._around.database.read() as connection:
            return store.next_queued(connection, self.source.name, self._around.clock.now())

    async def _read(self, run: Run, *, asked_for: bool) -> None:
        with correlated(run.run_id):
            await self._read_source(run, asked_for=asked_for)

    async def _read_source(self, run: Run, *, asked_for: bool) -> None:
        if isinstance(self.source, PostgresSource):
            await self._read_server(self.source, run)
        else:
            await self._read_folder(self.source, run, asked_for=asked_for)
        # A look into a folder that finds nothing is no run, unless somebody waits for its end.
        if run.recorded or asked_for:
            await asyncio.to_thread(finish_run, self._around, run)
            self._around.spooled()

    async def _read_server(self, source: PostgresSource, run: Run) -> None:
        try:
            sizes = await read_sizes(source)
        except ServerAwayError as error:
            run.tally.fail(source.name, str(error))
            run.recorded = True
            return
        await asyncio.to_thread(self._spool_sizes, sizes, run)

    def _spool_sizes(self, sizes: Sizes, run: Run) -> None:
        now, tally = self._around.clock.now(), run.tally.copy()
        for failure in sizes.failures:
            tally.fail(failure.place, failure.reason)
        with self._around.database.write() as tx:
            for chunk in sizes.chunks(now):
                event_id = chunk_id(run.source, chunk)
                self._around.spool.put(
                    tx,
                    Message.of(
                        SAMPLES_TOPIC,
                        chunk,
                        key=event_id,
                        source=self._event_source,
                        time=now,
                        event_id=event_id,
                        correlation_id=run.run_id,
                    ),
                    now,
                )
            tally.samples += len(sizes.values)
            tally.objects += len(sizes.values)
            store.record_progress(tx, run, tally)
        run.tally, run.recorded = tally, True

    async def _read_folder(self, source: CsvSource, run: Run, *, asked_for: bool) -> None:
        folder = self._folder or Folder(source.folder)
        taker = Taker(
            self._around.database, self._around.spool, source.name, self._event_source, source.folder,
            self.stop_flag,
        )  # fmt: skip
        problems: list[tuple[str, OSError]] = []
        try:
            files = await asyncio.to_thread(folder.look)
            if asked_for and folder.saw_files:
                await asyncio.sleep(SETTLE_SECONDS)
                files = await asyncio.to_thread(folder.look)
        except OSError as error:
            problems.append((str(source.folder), error))
            files = []
        for file in files:
            if not await asyncio.to_thread(self._around.spool.has_room, file.signature.size_bytes):
                self.paused = f"the spool has no room for {file.name}"
                break
            try:
                await asyncio.to_thread(taker.take, file, run, self._around.clock.now())
            except (FileChangedError, FileNotFoundError):
                continue
            except OSError as error:
                problems.append((file.name, error))
            self._around.spooled()
        self._tell(run, problems, asked_for=asked_for)

    def _tell(self, run: Run, problems: Sequence[tuple[str, OSError]], *, asked_for: bool) -> None:
        """What stays unreadable at every look is told once, not every few seconds."""
        for place, error in problems:
            if asked_for or (place, str(error)) not in self._told:
                log.warning("unreadable", source=self.source.name, place=place, error=str(error))
                run.tally.fail(place, str(error))
                run.recorded = True
        self._told = {(place, str(error)) for place, error in problems}


class Collector:
    """All sources, and the way to ask for a run."""

    def __init__(self, sources: Sequence[Source], surroundings: Surroundings) -> None:
        self.workers = {source.name: Worker(source, surroundings) for source in sources}
        self._around = surroundings

    async def recover(self) -> None:
        """Go on where the last collector ended."""
        for run in await asyncio.to_thread(self._recover):
            run.tally.fail(run.source, "there is no source of this name any more")
            await asyncio.to_thread(finish_run, self._around, run)
        for worker in self.workers.values():
            await worker.recall()

    def _recover(self) -> list[Run]:
        with self._around.database.write() as tx:
            return store.recover(tx, set(self.workers), self._around.clock.now())

    async def ask(self, names: Sequence[str]) -> list[str]:
        """Ask for a run of each named source, or of all; durable when it returns.

        Raises:
            KeyError: there is no such source.
        """
        wanted = [self.workers[name].source.name for name in dict.fromkeys(names)] if names else list(self.workers)
        run_ids = {name: new_event_id() for name in wanted}
        await asyncio.to_thread(self._queue, run_ids)
        for name in wanted:
            self.workers[name].wake()
        return list(run_ids.values())

    def _queue(self, run_ids: dict[str, str]) -> None:
        with self._around.database.write() as tx:
            for name, run_id in run_ids.items():
                store.queue(tx, run_id, name)

    async def work(self, stopping: Awaitable[Any]) -> None:
        """Read the sources until ``stopping`` is over; a file under way is let go of."""
        tasks = [asyncio.create_task(worker.work(), name=name) for name, worker in self.workers.items()]
        await stopping
        for worker in self.workers.values():
            worker.stop_reading()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
