"""Reports as .csv: RFC 4180, UTF-8, written by PostgreSQL itself."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import BinaryIO, Final

from report_builder.documents.model import Document, DocumentError, Rendered, Table, facts_by_day

_QUOTE: Final = b'"'


class CsvDocument:
    """Passes COPY's CSV through; only the ends of rows change, from LF to the CR LF that RFC 4180 asks for.

    A line feed inside a quoted field is text and stays. Text is exact, whatever it looks like: this format is for
    machines, a formula in it is a string like any other.
    """

    copy_format = "csv"
    with_totals = False

    def __init__(self, file: BinaryIO, document: Document) -> None:
        self._file = file
        self._document = document
        self._rows = 0
        self._prefix = b""
        file.write(",".join(document.table.header).encode() + b"\r\n")

    def begin(self, table: Table, day: date | None = None) -> None:  # noqa: ARG002 - there is one table only
        """The rows that follow are of this date."""
        self._prefix = b"" if day is None else day.isoformat().encode() + b","

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        day = self._prefix
        # Every second part between quotes is inside of them; doubled quotes keep the count right.
        parts = block.split(_QUOTE) if _QUOTE in block else []
        if b"\n" not in b"".join(parts[1::2]):
            self._rows += block.count(b"\n")
            self._file.write(day + block[:-1].replace(b"\n", b"\r\n" + day) + b"\r\n")
            return
        outside = parts[::2]
        self._rows += sum(part.count(b"\n") for part in outside)
        parts[::2] = [part.replace(b"\n", b"\r\n" + day) for part in outside]
        text = _QUOTE.join(parts)
        # The last row's end was given the date of a row that is not there.
        self._file.write(day + text.removesuffix(day))

    def close(self) -> Rendered:
        """Check the count.

        Raises:
            DocumentError: other rows than announced.
        """
        if self._rows != self._document.rows:
            raise DocumentError(f"{self._rows} rows came, {self._document.rows} were announced")
        return Rendered(self._rows, 0)


def completeness_csv(document: Document) -> bytes:
    """The completeness statement, which a .csv itself has no place for."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(("batch_date", "fact", "value"))
    writer.writerows(facts_by_day(document))
    return file.getvalue().encode()
