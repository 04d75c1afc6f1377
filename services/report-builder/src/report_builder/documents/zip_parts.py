"""Parts of a zip file, compressed beside the thread that makes them; the same content gives the same bytes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, BinaryIO, Final

_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_LEVEL: Final = 1
_BLOCK_BYTES: Final = 256 * 1024
_MAX_BLOCKS_WAITING: Final = 4
_REGULAR_FILE: Final = 0o600 << 16


def part_info(name: str) -> zipfile.ZipInfo:
    """A part without a time."""
    info = zipfile.ZipInfo(name, _NO_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # said, because the default is the machine's
    info.external_attr = _REGULAR_FILE
    return info


class PartWriter:
    """Bytes into a part, in blocks of one size whatever the sizes it comes in: compressed bytes depend on that.

    zlib lets go of the interpreter while it works, so the next rows are made meanwhile. At most four blocks wait.
    """

    def __init__(self, part: IO[bytes], worker: ThreadPoolExecutor) -> None:
        self._part = part
        self._worker = worker
        self._buffer = bytearray()
        self._waiting: list[Future[int]] = []

    def write(self, content: bytes) -> None:
        """Add to the part.

        Raises:
            OSError: what writing an earlier block ended with.
        """
        self._buffer += content
        while len(self._buffer) >= _BLOCK_BYTES:
            self._hand_over(bytes(self._buffer[:_BLOCK_BYTES]))
            del self._buffer[:_BLOCK_BYTES]

    def finish(self) -> None:
        """Wait for everything to be written."""
        self._hand_over(bytes(self._buffer))
        for waiting in self._waiting:
            waiting.result()

    def _hand_over(self, block: bytes) -> None:
        if len(self._waiting) == _MAX_BLOCKS_WAITING:
            self._waiting.pop(0).result()
        self._waiting.append(self._worker.submit(self._part.write, block))


class ZipParts:
    """A zip file written part after part."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="deflate")

    def add(self, name: str, content: bytes) -> None:
        """A part that is there as a whole."""
        self._zip.writestr(part_info(name), content, compresslevel=_LEVEL)

    @contextmanager
    def open(self, name: str, *, large: bool) -> Iterator[PartWriter]:
        """A part that is written piece by piece; ``large`` when it may pass 2 GiB."""
        info = part_info(name)
        # ZipFile.open takes the level from the entry; there is no public way to set it for a streamed part before 3.13.
        info._compresslevel = _LEVEL  # type: ignore[attr-defined]  # noqa: SLF001
        with self._zip.open(info, "w", force_zip64=large) as part:
            writer = PartWriter(part, self._worker)
            yield writer
            writer.finish()

    def close(self) -> None:
        """Write the directory."""
        self._worker.shutdown()
        self._zip.close()
