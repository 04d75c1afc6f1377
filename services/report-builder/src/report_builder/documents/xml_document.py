"""The customer detail as .xml, checked against its schema while it is written."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.resources import files
from typing import Any, BinaryIO, Final, cast

from lxml import etree
from tallyport.money import plain

from report_builder.documents.model import BatchFacts, Document, DocumentError, Rendered, Sums, Total
from report_builder.documents.text import is_odd, odd_row, unescape, visible

NAMESPACE: Final = "urn:tallyport:customer-detail:1"
SCHEMA_FILE: Final = "customer-detail-1.xsd"

# The ampersand first, because the others bring it.
_ENTITIES: Final = {b"&": b"&amp;", b"<": b"&lt;", b">": b"&gt;", b'"': b"&quot;"}
# An attribute's white space would be read back as spaces.
_WHITE_SPACE: Final = str.maketrans({"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})
_PRICE, _TOTAL, _CURRENCY, _FLAGS = 11, 12, 13, 15
_ANY_LINE: Final = (
    b'   <line service="%b" plan_type="%b" unit="%b" object_id="%b" description="%b" name="%b" stock_code="%b" '
    b'unit_code="%b" quantity="%b"%b total="%b" currency="%b" kind="%b"%b/>\n'
)
# What most lines are: with a price and without flags.
_LINE: Final = _ANY_LINE.replace(b'"%b"%b total', b'"%b" sales_price="%b" total').replace(b"%b/>", b"/>")
_BLOCKS_WAITING: Final = 4


def schema() -> etree.XMLSchema:
    """The schema that is shipped with the service."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    raw = files("report_builder.schemas").joinpath(SCHEMA_FILE).read_bytes()
    return etree.XMLSchema(etree.fromstring(raw, parser))


class _Nothing:
    """Takes no events, so that the parser keeps no tree."""

    def close(self) -> None:
        """The end of the document."""


class SchemaCheck:
    """Checks a document against the schema while it is written, and keeps nothing of what it has seen.

    It works beside the thread that writes, because libxml2 needs no interpreter; at most four blocks wait.
    """

    def __init__(self) -> None:
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
            target=cast("Any", _Nothing()), schema=schema(), resolve_entities=False, no_network=True, huge_tree=True
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
    well-formed, or not what the schema says, end the report instead of reaching a billing system.
    """

    copy_format = "text"

    def __init__(self, file: BinaryIO, document: Document) -> None:
        self._file = file
        self._document = document
        self._check = SchemaCheck()
        self._all = Sums()
        self._customer: bytes | None = None
        self._customer_totals: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._day_open = False
        self._rows = 0
        self._replaced = 0
        self._write(self._header().encode())

    def customer_totals(self, block: str) -> None:
        """A customer's totals follow its lines; they are summed up from them."""

    def begin_batch(self, batch: BatchFacts) -> None:
        """The rows that follow are of this date."""
        self._write(self._end_of_day() + f' <day date="{batch.batch_date.isoformat()}">\n'.encode())
        self._day_open = True

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        odd = is_odd(block)
        out: list[bytes] = []
        customer, totals = self._customer, self._customer_totals
        rows = _with_entities(block).split(b"\n")
        rows.pop()
        for row in rows:
            fields = row.split(b"\t")
            if odd and odd_row(row):
                fields = [self._visible(unescape(field.decode())) for field in fields]
            if fields[0] != customer:
                out.append(self._end_of_customer())
                out.append(b'  <customer id="%b" name="%b">\n' % (fields[0], fields[1]))
                self._customer = customer = fields[0]
            totals[fields[_CURRENCY]].append(fields[_TOTAL])
            price, flags = fields[_PRICE], fields[_FLAGS]
            if price and not flags:
                out.append(_LINE % tuple(fields[2:_FLAGS]))
            else:
                fields[_PRICE] = b' sales_price="%b"' % price if price else b""
                fields[_FLAGS] = b' flags="%b"' % flags if flags else b""
                out.append(_ANY_LINE % tuple(fields[2:]))
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

    def _header(self) -> str:
        document = self._document
        lines = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            (
                f'<report xmlns="{NAMESPACE}" version="1.0" from="{document.from_date.isoformat()}" '
                f'to="{document.to_date.isoformat()}" lines="{document.lines}">'
            ),
        ]
        if document.scope:
            organisation, name = self.escape(document.scope.organisation), self.escape(document.scope.name)
            lines.append(f' <scope organisation="{organisation}" name="{name}"/>')
        lines += [
            f' <batch date="{batch.batch_date.isoformat()}" revision="{batch.revision}" sha256="{batch.sha256}" '
            f'lines="{batch.lines}"/>'
            for batch in document.batches
        ]
        lines += [f' <missing date="{day.isoformat()}"/>' for day in document.missing]
        lines += [
            f' <completeness fact="{self.escape(fact)}" value="{self.escape(value)}"/>'
            for fact, value in document.completeness
        ]
        lines += [f" {_total(total)}" for total in document.totals]
        return "\n".join(lines) + "\n"

    def _end_of_customer(self) -> bytes:
        if self._customer is None:
            return b""
        sums = Sums()
        sums.take(self._customer_totals)
        self._all.join(sums)
        self._customer = None
        totals = "".join(f"   {_total(total)}\n" for total in sums.totals())
        return totals.encode() + b"  </customer>\n"

    def _end_of_day(self) -> bytes:
        return self._end_of_customer() + b" </day>\n" if self._day_open else b""


def _with_entities(text: bytes) -> bytes:
    for character, entity in _ENTITIES.items():
        text = text.replace(character, entity)
    return text


def _total(total: Total) -> str:
    return f'<total currency="{total.currency}" lines="{total.lines}" amount="{plain(total.amount)}"/>'
