"""The records of a BIFF8 workbook stream, as Excel 97 and everything after it reads them ([MS-XLS])."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

FORMATS_FROM: Final = 164  # numbers below are Excel's own formats
STYLES_FROM: Final = 16  # the styles before are the ones every workbook has
MAX_TEXT_UNITS: Final = 4000
"""UTF-16 code units of the longest text: two bytes each, a record holds 8,224 bytes."""

_LABEL: Final = struct.Struct("<HHHHHHB").pack
_NUMBER: Final = struct.Struct("<HHHHH").pack
_BINARY64: Final = struct.Struct("<d").pack


def record(kind: int, data: bytes = b"") -> bytes:
    """Any record."""
    return struct.pack("<HH", kind, len(data)) + data


def label(row: int, column: int, style: int, text: str) -> bytes:
    """A cell of text; never a formula, whatever it begins with."""
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        raw = text.encode("utf-16-le")
        return _LABEL(0x0204, 9 + len(raw), row, column, style, len(raw) // 2, 1) + raw
    return _LABEL(0x0204, 9 + len(raw), row, column, style, len(raw), 0) + raw


def binary64(number: str) -> bytes:
    """A decimal as the format keeps numbers. The only place where one leaves decimal: call ``fits`` before."""
    return _BINARY64(Decimal(number))


def number(row: int, column: int, style: int, value: bytes) -> bytes:
    """A cell with a number, given as ``binary64`` made it."""
    return _NUMBER(0x0203, 14, row, column, style) + value


def begin_workbook() -> bytes:
    """The start of the workbook's own part: UTF-16, one window."""
    return (
        record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0x0DBB, 0x07CC, 0x41, 0x06))
        + record(0x0042, struct.pack("<H", 1200))
        + record(0x003D, struct.pack("<9H", 0, 0, 0x4000, 0x2000, 0x38, 0, 0, 1, 600))
        + record(0x0022, struct.pack("<H", 0))
    )


def styles(formats: Sequence[str]) -> bytes:
    """Fonts, number formats and cell styles. Style 16 is bold; 17 and on have ``formats`` in their order."""
    fonts = b"".join(_font(bold=index == 1) for index in range(5))
    numbers = b"".join(record(0x041E, struct.pack("<H", FORMATS_FROM + i) + _long(f)) for i, f in enumerate(formats))
    own = b"".join(_style(font=0, number_format=0, of_workbook=True) for _ in range(15))
    own += _style(font=0, number_format=0)
    own += _style(font=1, number_format=0)
    own += b"".join(_style(font=0, number_format=FORMATS_FROM + index) for index in range(len(formats)))
    return fonts + numbers + own + record(0x0293, struct.pack("<HBB", 0x8000, 0, 0xFF))


def sheet_entry(name: str, position: int = 0) -> bytes:
    """The workbook's word of a sheet; ``position`` is where the sheet begins in the stream."""
    return record(0x0085, struct.pack("<IBB", position, 0, 0) + _short(name))


def end() -> bytes:
    """The end of the workbook's part or of a sheet."""
    return record(0x000A)


def begin_sheet(rows: int, widths: Sequence[int], *, first: bool, frozen_rows: int) -> bytes:
    """The start of a sheet with so many rows; ``frozen_rows`` stay in sight."""
    columns = b"".join(
        record(0x007D, struct.pack("<6H", index, index, width * 256, 15, 0, 0)) for index, width in enumerate(widths)
    )
    options = 0x00B6 | (0x0600 if first else 0) | (0x0108 if frozen_rows else 0)
    pane = record(0x0041, struct.pack("<4HBB", 0, frozen_rows, frozen_rows, 0, 2, 0)) if frozen_rows else b""
    return (
        record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0x0DBB, 0x07CC, 0x41, 0x06))
        + columns
        + record(0x0200, struct.pack("<IIHHH", 0, rows, 0, len(widths), 0))
        + record(0x023E, struct.pack("<HHHIHHI", options, 0, 0, 0x40, 0, 0, 0))
        + pane
    )


def _font(*, bold: bool) -> bytes:
    fixed = struct.pack("<HHHHHBBBB", 200, 1 if bold else 0, 0x7FFF, 700 if bold else 400, 0, 0, 0, 0, 0)
    return record(0x0031, fixed + _short("Arial"))


def _style(*, font: int, number_format: int, of_workbook: bool = False) -> bytes:
    protection = 0xFFF5 if of_workbook else 0x0001
    used = 0xF4 if of_workbook else 0xF8
    return record(0x00E0, struct.pack("<3H4B2IH", font, number_format, protection, 0x20, 0, 0, used, 0, 0, 0x20C0))


def _short(text: str) -> bytes:
    return struct.pack("<BB", len(text), 0) + text.encode("latin-1")


def _long(text: str) -> bytes:
    return struct.pack("<HB", len(text), 0) + text.encode("latin-1")
