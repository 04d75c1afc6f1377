"""Which format is written by what."""

from __future__ import annotations

from typing import BinaryIO

from report_builder.documents.model import Document, DocumentError, Renderer

FORMATS = ("csv", "xls", "xlsx", "xml")


def renderer(name: str, file: BinaryIO, document: Document) -> Renderer:
    """The renderer of format ``name``, writing to ``file``, which can seek.

    The libraries are imported here because a rendering process needs only one of them.

    Raises:
        DocumentError: there is no such format.
    """
    if name == "csv":
        from report_builder.documents.csv_document import CsvDocument  # noqa: PLC0415

        return CsvDocument(file, document)
    if name == "xml":
        from report_builder.documents.xml_document import XmlDocument  # noqa: PLC0415

        return XmlDocument(file, document)
    if name == "xlsx":
        from report_builder.documents.xlsx_document import XlsxDocument  # noqa: PLC0415

        return XlsxDocument(file, document)
    if name == "xls":
        from report_builder.documents.xls_document import XlsDocument  # noqa: PLC0415

        return XlsDocument(file, document)
    raise DocumentError(f"format {name!r} is not one of {', '.join(FORMATS)}")
