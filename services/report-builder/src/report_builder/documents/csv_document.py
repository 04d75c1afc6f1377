"""The customer detail as .csv: RFC 4180, UTF-8, written by PostgreSQL itself."""

from __future__ import annotations

from typing import BinaryIO, Final

from report_builder.documents.model import COLUMNS, BatchFacts, Document, DocumentError, Rendered

_QUOTE: Final = b'"'


class CsvDocument:
    """Passes COPY's CSV through; only the ends of rows change, from LF to the CR LF that RFC 4180 asks for.

    A line feed inside a quoted field is text and stays. Text is exact, whatever it looks like: this format is for
    machines, a formula in it is a string like any other.
    """

    copy_format = "csv"

    def __init__(self, file: BinaryIO, document: Document) -> None:
        self._file = file
        self._document = document
        self._rows = 0
        self._prefix = b""
        file.write(",".join(COLUMNS).encode() + b"\r\n")

    def customer_totals(self, block: str) -> None:
        """A .csv holds plain rows only."""

    def begin_batch(self, batch: BatchFacts) -> None:
        """The rows that follow are of this date."""
        self._prefix = batch.batch_date.isoformat().encode() + b","

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        date = self._prefix
        # Every second part between quotes is inside of them; doubled quotes keep the count right.
        parts = block.split(_QUOTE) if _QUOTE in block else []
        if b"\n" not in b"".join(parts[1::2]):
            self._rows += block.count(b"\n")
            self._file.write(date + block[:-1].replace(b"\n", b"\r\n" + date) + b"\r\n")
            return
        outside = parts[::2]
        self._rows += sum(part.count(b"\n") for part in outside)
        parts[::2] = [part.replace(b"\n", b"\r\n" + date) for part in outside]
        text = _QUOTE.join(parts)
        # The last row's end was given the date of a row that is not there.
        self._file.write(date + text[: -len(date)])

    def close(self) -> Rendered:
        """Check the count.

        Raises:
            DocumentError: other rows than announced.
        """
        if self._rows != self._document.lines:
            raise DocumentError(f"{self._rows} rows came, {self._document.lines} were announced")
        return Rendered(self._rows, 0)
