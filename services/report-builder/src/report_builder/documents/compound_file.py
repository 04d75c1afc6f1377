"""An OLE2 compound file with one stream, written as it comes.

The stream's sectors stand one after the other from the first on; the directory and the allocation tables follow, and
the header is written last. Format: [MS-CFB], version 3.
"""

from __future__ import annotations

import struct
from array import array
from typing import BinaryIO, Final

from report_builder.documents.model import DocumentError

SECTOR_BYTES: Final = 512
MAX_STREAM_BYTES: Final = 2**31 - 2**24
"""Version 3 counts a stream's bytes in 31 bits."""

_MIN_STREAM_BYTES: Final = 4096  # a smaller stream would have to go into the small sectors
_HEADER_FAT_SECTORS: Final = 109
_ENTRIES: Final = SECTOR_BYTES // 4
_FREE: Final = 0xFFFFFFFF
_END: Final = 0xFFFFFFFE
_FAT: Final = 0xFFFFFFFD
_DIFAT: Final = 0xFFFFFFFC
_NO_STREAM: Final = 0xFFFFFFFF
_ROOT: Final = 5
_STREAM: Final = 2


class CompoundFile:
    """Write the stream with ``write`` and ``overwrite``, then ``close``."""

    def __init__(self, file: BinaryIO, stream: str) -> None:
        self._file = file
        self._name = stream
        self._size = 0
        file.write(bytes(SECTOR_BYTES))

    def tell(self) -> int:
        """How many bytes the stream has."""
        return self._size

    def write(self, data: bytes) -> None:
        """Add to the stream.

        Raises:
            DocumentError: the stream would be larger than the format allows.
        """
        self._size += len(data)
        if self._size > MAX_STREAM_BYTES:
            raise DocumentError("an .xls file holds at most 2 GiB; ask for .xlsx, or for fewer days")
        self._file.write(data)

    def overwrite(self, position: int, data: bytes) -> None:
        """Replace bytes that are written already."""
        self._file.seek(SECTOR_BYTES + position)
        self._file.write(data)
        self._file.seek(SECTOR_BYTES + self._size)

    def close(self) -> None:
        """Write the directory, the tables and the header."""
        short = max(_MIN_STREAM_BYTES - self._size, -self._size % SECTOR_BYTES)
        self._file.write(bytes(short))
        self._size += short
        data = self._size // SECTOR_BYTES
        fat, difat = _table_sectors(data + 1)
        first_difat, first_fat = data + 1, data + 1 + difat
        self._file.write(self._directory())
        fat_sectors = list(range(first_fat, first_fat + fat))
        self._write_difat(fat_sectors[_HEADER_FAT_SECTORS:], first_difat)
        table = array("I", range(1, data + 1))
        table[data - 1] = _END
        table.append(_END)
        table.extend([_DIFAT] * difat)
        table.extend([_FAT] * fat)
        table.extend([_FREE] * (fat * _ENTRIES - len(table)))
        self._file.write(_little_endian(table))
        self._file.seek(0)
        self._file.write(_header(data, fat_sectors, first_difat if difat else _END, difat))

    def _directory(self) -> bytes:
        root = _entry("Root Entry", _ROOT, child=1, start=_END, size=0)
        stream = _entry(self._name, _STREAM, child=_NO_STREAM, start=0, size=self._size)
        return root + stream + _entry("", 0, child=_NO_STREAM, start=0, size=0) * 2

    def _write_difat(self, fat_sectors: list[int], first: int) -> None:
        per_sector = _ENTRIES - 1
        pages = [fat_sectors[start : start + per_sector] for start in range(0, len(fat_sectors), per_sector)]
        for number, page in enumerate(pages):
            following = first + number + 1 if number + 1 < len(pages) else _END
            entries = array("I", [*page, *[_FREE] * (per_sector - len(page)), following])
            self._file.write(_little_endian(entries))


def _table_sectors(others: int) -> tuple[int, int]:
    """How many sectors the allocation table and its own table need; both are counted in the table themselves."""
    fat, difat = 0, 0
    while True:
        total = others + fat + difat
        next_fat = -(-total // _ENTRIES)
        next_difat = max(0, -(-(next_fat - _HEADER_FAT_SECTORS) // (_ENTRIES - 1)))
        if (next_fat, next_difat) == (fat, difat):
            return fat, difat
        fat, difat = next_fat, next_difat


def _entry(name: str, kind: int, *, child: int, start: int, size: int) -> bytes:
    text = name.encode("utf-16-le")
    length = len(text) + 2 if name else 0
    return struct.pack(
        "<64sHBBIII16sI8s8sIII",
        text, length, kind, 1, _NO_STREAM, _NO_STREAM, child, b"", 0, b"", b"", start, size, 0,
    )  # fmt: skip


def _header(data: int, fat_sectors: list[int], first_difat: int, difat: int) -> bytes:
    listed = fat_sectors[:_HEADER_FAT_SECTORS]
    listed = listed + [_FREE] * (_HEADER_FAT_SECTORS - len(listed))
    return struct.pack(
        "<8s16sHHHHH6sIIIIIIIII109I",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, b"", 0, len(fat_sectors), data, 0,
        _MIN_STREAM_BYTES, _END, 0, first_difat, difat, *listed,
    )  # fmt: skip


def _little_endian(table: array[int]) -> bytes:
    if struct.pack("=H", 1) != b"\x01\x00":
        table.byteswap()
    return table.tobytes()
