"""Taking one dropped file: samples, the fact that it was taken and the run's count in one transaction, then the move.

A crash before the commit leaves the file where it was and nothing else; a crash after it leaves a file that is known as
taken, which the next look only moves.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tallyport.usage_csv import BadLine, UsageEvent, UsageFileError, read_usage, text_lines

from usage_collector.database import Database
from usage_collector.runs import store
from usage_collector.runs.model import Run, Tally
from usage_collector.sources.csv_folder import SET_ASIDE, TAKEN, BadRows, DroppedFile, Signature, place, sha256_of
from usage_collector.spool.store import Message, Spool

SAMPLES_TOPIC = "usage.samples"


class StoppedError(Exception):
    """The collector stops in the middle of a file; nothing of it was kept, it is read again."""


class FileChangedError(Exception):
    """Somebody wrote to the file while it was read; nothing of it was kept, it is looked at again."""


@dataclass(frozen=True)
class Taker:
    """Takes the files of one source."""

    database: Database
    spool: Spool
    source: str
    event_source: str
    folder: Path
    stopping: threading.Event

    def take(self, file: DroppedFile, run: Run, at: datetime) -> None:
        """Spool what is in ``file`` and move it away; ``run`` holds what was done once that is durable.

        Raises:
            FileChangedError: it was not whole yet.
            OSError: it cannot be read or moved.
        """
        digest = sha256_of(file.path)
        with self.database.read() as connection:
            destination = store.destination_of(connection, self.source, file.name, digest)
        if destination is None:
            destination = self.commit(file, digest, run, at)
        self.move(file, digest, destination)

    def commit(self, file: DroppedFile, digest: str, run: Run, at: datetime) -> str:
        """The transaction. Gives the folder the file belongs in."""
        try:
            self._commit_rows(file, digest, run, at)
        except UsageFileError as error:
            self._commit_unusable(file, digest, run, at, error)
            return SET_ASIDE
        return TAKEN

    def _commit_rows(self, file: DroppedFile, digest: str, run: Run, at: datetime) -> None:
        tally, objects = run.tally.copy(), set[int]()
        with self._bad_rows(file) as bad, self.database.write() as tx:
            self._spool_file(tx, file, run=run, tally=tally, objects=objects, bad=bad, at=at)
            self._check_unchanged(file, digest)
            bad.keep()
            store.record_taken(tx, run, name=file.name, sha256=digest, destination=TAKEN, at=at)
            store.record_progress(tx, run, tally)
        run.tally, run.recorded = tally, True
        run.objects_seen |= objects

    def _commit_unusable(self, file: DroppedFile, digest: str, run: Run, at: datetime, error: UsageFileError) -> None:
        """A file that is no usage file: none of its rows is spooled, the whole of it is set aside."""
        tally = run.tally.copy()
        row = error.line
        tally.fail(f"{file.name}:{row}", str(error))
        with self._bad_rows(file) as bad, self.database.write() as tx:
            bad.add(BadLine(row, str(error)))
            bad.keep()
            store.record_taken(tx, run, name=file.name, sha256=digest, destination=SET_ASIDE, at=at)
            store.record_progress(tx, run, tally)
        run.tally, run.recorded = tally, True

    def _bad_rows(self, file: DroppedFile) -> BadRows:
        return BadRows(self.folder / SET_ASIDE, f"{file.path.name}.bad.csv")

    def move(self, file: DroppedFile, digest: str, destination: str) -> None:
        """Move a file that is recorded as taken."""
        place(file.path, self.folder / destination, file.path.name, digest)

    def _spool_file(
        self,
        tx: sqlite3.Connection,
        file: DroppedFile,
        *,
        run: Run,
        tally: Tally,
        objects: set[int],
        bad: BadRows,
        at: datetime,
    ) -> None:
        with file.path.open("rb") as stream:
            for found in read_usage(text_lines(stream), self.source):
                if self.stopping.is_set():
                    raise StoppedError
                if isinstance(found, BadLine):
                    bad.add(found)
                    tally.fail(f"{file.name}:{found.number}", found.reason)
                    continue
                self.spool.put(tx, self._message(found, run, at), at)
                tally.samples += len(found.chunk.values)
                objects.update(map(hash, found.chunk.object_ids))
        tally.objects += len(objects - run.objects_seen)

    def _message(self, event: UsageEvent, run: Run, at: datetime) -> Message:
        return Message.of(
            SAMPLES_TOPIC,
            event.chunk,
            key=event.event_id,
            source=self.event_source,
            time=at,
            event_id=event.event_id,
            correlation_id=run.run_id,
        )

    @staticmethod
    def _check_unchanged(file: DroppedFile, digest: str) -> None:
        """Another content under the hash that is recorded would be lost, or counted twice."""
        if Signature.of(file.path) != file.signature or sha256_of(file.path) != digest:
            raise FileChangedError(file.name)
