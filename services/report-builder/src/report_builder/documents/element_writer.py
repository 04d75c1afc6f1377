"""Reports as .xml that are no list of rows: elements in elements, checked against their schema as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import BinaryIO, Final

from tallyport.money import plain

from report_builder.documents.model import Document, Rendered
from report_builder.documents.text import visible
from report_builder.documents.xml_document import SchemaCheck, namespace

Value = str | int | Decimal | date | bool | None
_BLOCK_CHARACTERS: Final = 64 * 1024
_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
)


class ElementWriter:
    """Writes elements one after the other; an attribute without a value is left out, because it is not known."""

    def __init__(self, file: BinaryIO, document: Document) -> None:
        self.document = document
        self._file = file
        self._check = SchemaCheck(document.kind)
        self._open: list[str] = []
        self._waiting: list[str] = ['<?xml version="1.0" encoding="UTF-8"?>\n']
        self._length = 0
        self._replaced = 0
        self._rows = 0

    def root(self, name: str, attributes: Mapping[str, Value]) -> None:
        """Begin the document's element, in its namespace."""
        self.begin(name, {"xmlns": namespace(self.document.kind), "version": "1.0", **attributes})

    def begin(self, name: str, attributes: Mapping[str, Value]) -> None:
        """Begin an element that has others in it."""
        self._write(f"{' ' * len(self._open)}<{name}{self._attributes(attributes)}>\n")
        self._open.append(name)

    def end(self) -> None:
        """End the element that was begun last."""
        name = self._open.pop()
        self._write(f"{' ' * len(self._open)}</{name}>\n")

    def add(self, name: str, attributes: Mapping[str, Value], *, row: bool = False) -> None:
        """An element without others in it; ``row``: one of those that the report counts."""
        self._write(f"{' ' * len(self._open)}<{name}{self._attributes(attributes)}/>\n")
        self._rows += row

    def facts(self) -> None:
        """What every report says of itself: its batches, the dates without one, and how complete those are."""
        document = self.document
        for batch in document.batches:
            self.add("batch", {"date": batch.batch_date, "revision": batch.revision, "sha256": batch.sha256})
        for day in document.missing:
            self.add("missing", {"date": day})
        for fact, value in document.completeness:
            self.add("completeness", {"fact": fact, "value": value})

    def close(self) -> Rendered:
        """Finish the document and the check.

        Raises:
            DocumentError: it is not what the schema says.
        """
        while self._open:
            self.end()
        self._flush()
        self._check.close()
        return Rendered(self._rows, self._replaced)

    def _attributes(self, attributes: Mapping[str, Value]) -> str:
        return "".join(f' {name}="{self._text(value)}"' for name, value in attributes.items() if value is not None)

    def _text(self, value: Value) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Decimal):
            return plain(value)
        text, replaced = visible(str(value))
        self._replaced += replaced
        return text.translate(_ESCAPES)

    def _write(self, text: str) -> None:
        self._waiting.append(text)
        self._length += len(text)
        if self._length >= _BLOCK_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        raw = "".join(self._waiting).encode()
        self._waiting.clear()
        self._length = 0
        self._file.write(raw)
        self._check.feed(raw)
