"""Reports as .xml, checked against their schema while they are written."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from importlib.resources import files
from operator import itemgetter
from typing import Any, BinaryIO, Final, cast

from lxml import etree
from tallyport.money import plain

from report_builder.documents.model import BatchFacts, Document, DocumentError, Rendered, Sums, Table, Total
from report_builder.documents.text import is_odd, odd_row, unescape, visible

# The ampersand first, because the others bring it.
_ENTITIES: Final = {b"&": b"&amp;", b"<": b"&lt;", b">": b"&gt;", b'"': b"&quot;"}
# An attribute's white space would be read back as spaces.
_WHITE_SPACE: Final = str.maketrans({"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})
_BLOCKS_WAITING: Final = 4


def namespace(kind: str) -> str:
    """The namespace of a kind's reports; the number is raised when old readers could not read the new."""
    return f"urn:tallyport:{kind}:1"


def schema(kind: str) -> etree.XMLSchema:
    """The schema that is shipped with the service."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    raw = files("report_builder.schemas").joinpath(f"{kind}-1.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(raw, parser))


class _Nothing:
    """Takes no events, so that the parser keeps no tree."""

    def close(self) -> None:
        """The end of the document."""


class SchemaCheck:
    """Checks a document against the schema while it is written, and keeps nothing of what it has seen.

    It works beside the thread that writes, because libxml2 needs no interpreter; at most four blocks wait.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="schema")
        self._parser: Any = None
        # lxml keeps names in a dictionary of each thread's own: the parser lives and dies in the worker.
        self._waiting: list[Future[None]] = [self._worker.submit(self._begin)]

    def feed(self, raw: bytes) -> None:
        """Check the next bytes.

        Raises:
            DocumentError: an earlier block is not what the schema says.
        """
        if len(self._waiting) == _BLOCKS_WAITING:
            self._waiting.pop(0).result()
        self._waiting.append(self._worker.submit(self._parse, raw))

    def close(self) -> None:
        """The document ends here.

        Raises:
            DocumentError: it is not what the schema says, or not finished.
        """
        try:
            for waiting in self._waiting:
                waiting.result()
            self._worker.submit(self._end).result()
        finally:
            self._worker.shutdown()

    def _begin(self) -> None:
        self._parser = etree.XMLParser(
            target=cast("Any", _Nothing()),
            schema=schema(self._kind),
            resolve_entities=False,
            no_network=True,
            huge_tree=True,
        )

    def _parse(self, raw: bytes) -> None:
        try:
            self._parser.feed(raw)
        except etree.XMLSyntaxError as error:
            raise DocumentError(f"the document does not follow its schema: {error}") from None
        self._raise_what_was_found()

    def _end(self) -> None:
        try:
            self._parser.close()
            self._raise_what_was_found()
        except etree.XMLSyntaxError as error:
            raise DocumentError(f"the document does not follow its schema: {error}") from None
        finally:
            self._parser = None

    def _raise_what_was_found(self) -> None:
        # With a target of one's own lxml checks the schema, but only notes what it finds.
        if found := self._parser.feed_error_log:
            raise DocumentError(f"the document does not follow its schema: {found[0].message}")


class XmlDocument:
    """Writes text made from a template and checks the same bytes against the schema as they go.

    A template is several times faster than building elements; the parser makes it as safe: bytes that are not
    well-formed, or not what the schema says, end the report instead of reaching a billing system. There is a template
    for each set of optional columns that are empty.
    """

    copy_format = "text"
    with_totals = False

    def __init__(self, file: BinaryIO, document: Document) -> None:
        self._file = file
        self._document = document
        self._check = SchemaCheck(document.kind)
        table = document.table
        self._all = Sums(table)
        self._grouped = len(table.group.attributes) if table.group else 0
        self._group: bytes | None = None
        optional = [index for index, column in enumerate(table.columns) if column.optional]
        # Two at least, because one alone would be given as itself and not in a tuple; the currency is never empty.
        self._optional = itemgetter(*optional, self._all.currency, self._all.currency)
        self._templates: dict[bytes, bytes] = {}
        self._figures: defaultdict[bytes, list[tuple[bytes, ...]]] = defaultdict(list)
        self._day_open = False
        self._rows = 0
        self._replaced = 0
        self._write(self._header().encode())

    def begin(self, table: Table, day: date | None = None) -> None:  # noqa: ARG002 - there is one table only
        """The rows that follow are of this date."""
        if day is not None:
            self._write(self._end_of_day() + f' <day date="{day.isoformat()}">\n'.encode())
            self._day_open = True

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        odd = is_odd(block)
        out: list[bytes] = []
        figures, pick, currency, optional = self._figures, self._all.pick, self._all.currency, self._optional
        templates, group, grouped = self._templates, self._group, self._grouped
        rows = _with_entities(block).split(b"\n")
        rows.pop()
        for row in rows:
            fields = row.split(b"\t")
            if odd and odd_row(row):
                fields = [self._visible(unescape(field.decode())) for field in fields]
            if grouped and fields[0] != group:
                out += (self._end_of_group(), self._begin_group(fields))
                self._group = group = fields[0]
            figures[fields[currency]].append(pick(fields))
            filled = bytes(map(bool, optional(fields)))
            out.append((templates.get(filled) or self._template(filled, fields)) % tuple(fields))
        if not grouped:
            self._all.take(figures)
        self._rows += len(rows)
        self._write(b"".join(out))

    def close(self) -> Rendered:
        """Finish the document and the check.

        Raises:
            DocumentError: the rows do not add up, or the document is not what the schema says.
        """
        self._write(self._end_of_day() + b"</report>\n")
        self._check.close()
        self._all.check(self._document.totals)
        return Rendered(self._rows, self._replaced)

    def escape(self, text: str) -> str:
        """Text as an attribute's value; what XML forbids is replaced visibly and counted."""
        return self._visible(_with_entities(text.encode()).decode()).decode()

    def _visible(self, text: str) -> bytes:
        text, replaced = visible(text)
        self._replaced += replaced
        return text.translate(_WHITE_SPACE).encode()

    def _write(self, raw: bytes) -> None:
        self._file.write(raw)
        self._check.feed(raw)

    def _template(self, filled: bytes, fields: list[bytes]) -> bytes:
        """An element of a row in which the same optional columns are filled."""
        table = self._document.table
        parts = [f"   <{table.element}".encode()]
        for index, (column, field) in enumerate(zip(table.columns, fields, strict=True)):
            # A precision of 0 takes the field and writes nothing of it.
            left_out = index < self._grouped or (column.optional and not field)
            parts.append(b"%.0b" if left_out else f' {column.name}="%b"'.encode())
        template = self._templates[filled] = b"".join(parts) + b"/>\n"
        return template

    def _begin_group(self, fields: list[bytes]) -> bytes:
        group = self._document.table.group
        if group is None:
            return b""
        attributes = b"".join(
            b' %b="%b"' % (name.encode(), field) for name, field in zip(group.attributes, fields, strict=False)
        )
        return b"  <%b%b>\n" % (group.element.encode(), attributes)

    def _header(self) -> str:
        document = self._document
        lines = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            (
                f'<report xmlns="{namespace(document.kind)}" version="1.0" from="{document.from_date.isoformat()}" '
                f'to="{document.to_date.isoformat()}" lines="{document.lines}">'
            ),
        ]
        if document.scope:
            organisation, name = self.escape(document.scope.organisation), self.escape(document.scope.name)
            lines.append(f' <scope organisation="{organisation}" name="{name}"/>')
        lines += [_batch("batch", batch) for batch in document.batches]
        lines += [f' <missing date="{day.isoformat()}"/>' for day in document.missing]
        lines += [_batch("compared", batch) for batch in document.compared]
        lines += [f' <compared_missing date="{day.isoformat()}"/>' for day in document.compared_missing]
        lines += [
            f' <completeness fact="{self.escape(fact)}" value="{self.escape(value)}"/>'
            for fact, value in document.completeness
        ]
        lines += [f" {self._total(total)}" for total in document.totals]
        return "\n".join(lines) + "\n"

    def _end_of_group(self) -> bytes:
        group = self._document.table.group
        if self._group is None or group is None:
            return b""
        sums = Sums(self._document.table)
        sums.take(self._figures)
        self._all.join(sums)
        self._group = None
        totals = "".join(f"   {self._total(total)}\n" for total in sums.totals())
        return totals.encode() + f"  </{group.element}>\n".encode()

    def _end_of_day(self) -> bytes:
        closing = self._end_of_group()
        return closing + b" </day>\n" if self._day_open else closing

    def _total(self, total: Total) -> str:
        amounts = "".join(
            f' {name}="{plain(amount)}"'
            for (_, name), amount in zip(self._document.table.adds_up, total.amounts, strict=True)
        )
        unknown = f' unknown="{total.unknown}"' if total.unknown else ""
        return f'<total currency="{total.currency}" lines="{total.lines}"{amounts}{unknown}/>'


def _batch(element: str, batch: BatchFacts) -> str:
    return (
        f' <{element} date="{batch.batch_date.isoformat()}" revision="{batch.revision}" sha256="{batch.sha256}" '
        f'lines="{batch.lines}"/>'
    )


def _with_entities(text: bytes) -> bytes:
    for character, entity in _ENTITIES.items():
        text = text.replace(character, entity)
    return text
