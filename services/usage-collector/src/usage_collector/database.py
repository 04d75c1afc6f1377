"""The collector's SQLite file: one writer, durable at every commit, and readers that never wait for it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

SCHEMA_VERSION: Final = 1
_BUSY_SECONDS: Final = 30.0
_FREE_PAGES: Final = 256


class SpoolInUseError(RuntimeError):
    """Another collector has this spool open."""


class SpoolVersionError(RuntimeError):
    """The spool was written by a version of the collector that this one does not know."""


class Database:
    """The file, held by one process. Every method is for threads, not for the event loop."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._held = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._held)
            raise SpoolInUseError(f"{path}: another collector has this spool open") from error
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._writer = _connect(path)
        self._create()
        self._reader = _connect(path)

    def _create(self) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            schema = files("usage_collector").joinpath("schema.sql").read_text(encoding="utf-8")
            self._writer.executescript(f"BEGIN IMMEDIATE;\n{schema}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;")
        elif version != SCHEMA_VERSION:
            raise SpoolVersionError(f"the spool has version {version}, this collector knows {SCHEMA_VERSION}")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: durable when the block has ended, undone when it raises."""
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            try:
                self._writer.execute("COMMIT")
            except sqlite3.Error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """What is committed now."""
        with self._reading:
            yield self._reader

    def give_back_space(self) -> None:
        """Return pages that deleted rows left to the file system, once there is a megabyte of them."""
        with self._writing:
            if self._writer.execute("PRAGMA freelist_count").fetchone()[0] >= _FREE_PAGES:
                # A script is run to its end; as a single statement Python would stop after the first page.
                self._writer.executescript("PRAGMA incremental_vacuum(4000)")

    def close(self) -> None:
        """Let go of the file."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()
            os.close(self._held)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    # Space is given back bit by bit after an outage; it has to be said before the first table is made.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    # WAL with less than FULL may forget the last commits when the machine loses power; the file is in taken/ by then.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection
