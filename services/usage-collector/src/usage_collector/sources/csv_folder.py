"""A watched folder: which files are whole, and where a file goes when it was taken.

A producer writes elsewhere and renames into the folder, or writes under a name that begins with ``.`` or ends with
``.tmp`` or ``.part``. For one that does neither, a file is taken only when its size and time stood still between two
looks.
"""

from __future__ import annotations

import csv
import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

from tallyport.usage_csv import BadLine

UNFINISHED: Final = (".tmp", ".part")
TAKEN: Final = "taken"
SET_ASIDE: Final = "set-aside"
_HASH_CHARACTERS: Final = 8


class Signature(NamedTuple):
    """What changes when somebody writes to a file."""

    inode: int
    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Signature:
        """The file's signature now."""
        found = path.lstat()
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class DroppedFile:
    """A file that stood still."""

    path: Path
    signature: Signature

    @property
    def name(self) -> str:
        """The file's name as text, also where the name is not UTF-8."""
        return os.fsencode(self.path.name).decode(errors="backslashreplace")


class Folder:
    """What was seen in the folder at the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: dict[Path, Signature] = {}

    def create(self) -> None:
        """Make the folder inside one that is there; what cannot be made is told by the first look."""
        with suppress(OSError):
            self.path.mkdir(exist_ok=True)

    def look(self) -> list[DroppedFile]:
        """The files that have not changed since the last look, oldest first.

        Raises:
            OSError: the folder cannot be read.
        """
        now: dict[Path, Signature] = {}
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(UNFINISHED):
                    continue
                with suppress(FileNotFoundError):  # renamed away meanwhile
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        now[Path(entry.path)] = Signature(found.st_ino, found.st_size, found.st_mtime_ns)
        still = [DroppedFile(path, one) for path, one in now.items() if self._seen.get(path) == one]
        self._seen = now
        return sorted(still, key=lambda file: (file.signature.modified_ns, file.name))

    @property
    def saw_files(self) -> bool:
        """Whether the last look saw files at all; a second look tells whether they are whole."""
        return bool(self._seen)


def sha256_of(path: Path) -> str:
    """The hash of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class BadRows:
    """Writes the rows that were left out: row number, reason, the row as it stood. Kept only when told so."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self.count = 0
        self._folder = folder
        self._name = name
        self._path = folder / f".{name}.tmp"
        self._stream = self._path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        self._rows = csv.writer(self._stream)
        self._rows.writerow(("row", "reason", "line"))

    def add(self, bad: BadLine) -> None:
        """Note a row."""
        self.count += 1
        self._rows.writerow((bad.number, bad.reason, bad.text.rstrip("\r\n")))

    def keep(self) -> None:
        """Put the rows in their place, durably, if there are any."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        if self.count:
            place(self._path, self._folder, self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file."""
        self._stream.close()
        self._path.unlink(missing_ok=True)


def place(file: Path, folder: Path, name: str, digest: str | None = None) -> Path:
    """Move ``file`` into ``folder``, durably; another file of that name stays, the hash tells them apart."""
    folder.mkdir(exist_ok=True)
    target = folder / name
    if target.exists():
        digest = digest or sha256_of(file)
        if sha256_of(target) != digest:
            target = folder / f"{Path(name).stem}.{digest[:_HASH_CHARACTERS]}{Path(name).suffix}"
    file.replace(target)
    _sync((folder, file.parent))
    return target


def _sync(folders: Iterable[Path]) -> None:
    for folder in folders:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
