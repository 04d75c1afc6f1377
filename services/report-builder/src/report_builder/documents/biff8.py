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
_LABEL_ROW: Final = struct.Struct("<10H").pack
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


def row(number: int, columns: int, depth: int) -> bytes:
    """A row of an outline; its cells follow."""
    return _LABEL_ROW(0x0208, 16, number, 0, columns, 0x00FF, 0, 0, 0x0100 | depth, 15)


def styles(formats: Sequence[str]) -> bytes:
    """Fonts, formats and cell styles. Style 16 is bold; 17 and on have ``formats`` in their order, then italic."""
    # There is no font 4: the format skips that number.
    fonts = b"".join(_font(bold=index == 1, italic=index == 2) for index in range(5))  # noqa: PLR2004 - the third
    numbers = b"".join(record(0x041E, struct.pack("<H", FORMATS_FROM + i) + _long(f)) for i, f in enumerate(formats))
    own = b"".join(_style(font=0, number_format=0, of_workbook=True) for _ in range(15))
    own += _style(font=0, number_format=0)
    own += _style(font=1, number_format=0)
    own += b"".join(_style(font=0, number_format=FORMATS_FROM + index) for index in range(len(formats)))
    own += _style(font=2, number_format=0)
    return fonts + numbers + own + record(0x0293, struct.pack("<HBB", 0x8000, 0, 0xFF))


def sheet_entry(name: str, position: int = 0) -> bytes:
    """The workbook's word of a sheet; ``position`` is where the sheet begins in the stream."""
    return record(0x0085, struct.pack("<IBB", position, 0, 0) + _short(name))


def end() -> bytes:
    """The end of the workbook's part or of a sheet."""
    return record(0x000A)


def print_titles(sheets: int, titled: Sequence[int]) -> bytes:
    """The first row of the sheets with these numbers, of so many, is repeated on every page that is printed."""
    book = record(0x01AE, struct.pack("<HH", sheets, 0x0401))
    places = record(
        0x0017, struct.pack("<H", len(titled)) + b"".join(struct.pack("<3H", 0, sheet, sheet) for sheet in titled)
    )
    names = b""
    for place, sheet in enumerate(titled):
        area = struct.pack("<B5H", 0x3B, place, 0, 0, 0, 0x00FF)
        head = struct.pack("<HBBHHHBBBB", 0x0020, 0, 1, len(area), 0, sheet + 1, 0, 0, 0, 0)
        names += record(0x0018, head + b"\x00\x07" + area)
    return book + places + names


def begin_sheet(rows: int, widths: Sequence[int], *, first: bool, frozen_rows: int, outlined: int = 0) -> bytes:
    """The start of a sheet with so many rows; ``frozen_rows`` stay in sight, ``outlined`` is how deep its outline is.

    It is printed in landscape on A4, as wide as the paper.
    """
    columns = b"".join(
        record(0x007D, struct.pack("<6H", index, index, width * 256, 15, 0, 0)) for index, width in enumerate(widths)
    )
    options = 0x00B6 | (0x0600 if first else 0) | (0x0108 if frozen_rows else 0)
    pane = record(0x0041, struct.pack("<4HBB", 0, frozen_rows, frozen_rows, 0, 2, 0)) if frozen_rows else b""
    gutter = 12 * (outlined + 1) + 5 if outlined else 0
    return (
        record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0x0DBB, 0x07CC, 0x41, 0x06))
        + record(0x0080, struct.pack("<4H", gutter, 0, outlined + 1 if outlined else 0, 0))
        # Fit to the page; a group's totals stand above what they are the totals of.
        + record(0x0081, struct.pack("<H", 0x0581 if outlined else 0x05C1))
        + record(0x00A1, struct.pack("<8HddH", 9, 100, 1, 1, 0, 0x0000, 300, 300, 0.3, 0.3, 1))
        + columns
        + record(0x0200, struct.pack("<IIHHH", 0, rows, 0, len(widths), 0))
        + record(0x023E, struct.pack("<HHHIHHI", options, 0, 0, 0x40, 0, 0, 0))
        + pane
    )


def _font(*, bold: bool, italic: bool) -> bytes:
    options = (1 if bold else 0) | (2 if italic else 0)
    fixed = struct.pack("<HHHHHBBBB", 200, options, 0x7FFF, 700 if bold else 400, 0, 0, 0, 0, 0)
    return record(0x0031, fixed + _short("Arial"))


def _style(*, font: int, number_format: int, of_workbook: bool = False) -> bytes:
    protection = 0xFFF5 if of_workbook else 0x0001
    used = 0xF4 if of_workbook else 0xF8
    return record(0x00E0, struct.pack("<3H4B2IH", font, number_format, protection, 0x20, 0, 0, used, 0, 0, 0x20C0))


def _short(text: str) -> bytes:
    try:
        return struct.pack("<BB", len(text), 0) + text.encode("latin-1")
    except UnicodeEncodeError:
        raw = text.encode("utf-16-le")
        return struct.pack("<BB", len(raw) // 2, 1) + raw


def _long(text: str) -> bytes:
    return struct.pack("<HB", len(text), 0) + text.encode("latin-1")
