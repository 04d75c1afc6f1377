"""The customer detail as .xml, checked against its schema while it is written."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, BinaryIO, Final, cast

from lxml import etree
from tallyport.money import plain

from report_builder.documents.model import BatchFacts, Document, DocumentError, Rendered, Sums, Total
from report_builder.documents.text import holds, unescape, visible

NAMESPACE: Final = "urn:tallyport:customer-detail:1"
SCHEMA_FILE: Final = "customer-detail-1.xsd"
CARE: Final = (b"&", b"<", b">", b'"')

_ESCAPES: Final = str.maketrans({
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;",
})  # fmt: skip

_ID, _NAME = 0, 1
_PRICE, _TOTAL, _CURRENCY = 11, 12, 13
_HEAD: Final = (
    '   <line service="%s" plan_type="%s" unit="%s" object_id="%s" description="%s" name="%s" stock_code="%s" '
    'unit_code="%s" quantity="%s"'
)


def schema() -> etree.XMLSchema:
    """The schema that is shipped with the service."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    raw = files("report_builder.schemas").joinpath(SCHEMA_FILE).read_bytes()
    return etree.XMLSchema(etree.fromstring(raw, parser))


class SchemaCheck:
    """Checks a document against the schema while it is written, and keeps nothing of what it has seen.

    lxml checks no schema when events go to a target of one's own, so this one lets it build the tree and takes away
    what is finished.
    """

    def __init__(self) -> None:
        names = [f"{{{NAMESPACE}}}line", f"{{{NAMESPACE}}}customer"]
        self._parser = etree.XMLPullParser(
            events=("end",), tag=names, schema=schema(), resolve_entities=False, no_network=True, huge_tree=True
        )

    def feed(self, raw: bytes) -> None:
        """Check the next bytes.

        Raises:
            DocumentError: the document is not well-formed.
        """
        try:
            self._parser.feed(raw)
        except etree.XMLSyntaxError as error:
            raise DocumentError(f"the document does not follow its schema: {error}") from None
        finished = [cast("Any", event[1]) for event in self._parser.read_events()]
        node: Any = finished[-1] if finished else None
        del finished
        while node is not None:
            parent = node.getparent()
            if parent is not None and len(parent) > 1:
                del parent[:-1]
            node = parent

    def close(self) -> None:
        """The document ends here.

        Raises:
            DocumentError: it is not what the schema says, or not finished.
        """
        try:
            self._parser.close()
        except etree.XMLSyntaxError as error:
            raise DocumentError(f"the document does not follow its schema: {error}") from None


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
        self._customer: str | None = None
        self._customer_sums = Sums()
        self._day_open = False
        self._rows = 0
        self._replaced = 0
        self._write(self._header())

    def customer_totals(self, block: str) -> None:
        """A customer's totals follow its lines; they are summed up from them."""

    def begin_batch(self, batch: BatchFacts) -> None:
        """The rows that follow are of this date."""
        self._write(f'{self._end_of_day()} <day date="{batch.batch_date.isoformat()}">\n')
        self._day_open = True

    def feed(self, block: bytes) -> None:
        """Write whole rows."""
        care = holds(block, CARE)
        out: list[str] = []
        append = out.append
        add = self._customer_sums.add
        rows = block.decode().split("\n")
        rows.pop()
        for row in rows:
            fields = row.split("\t")
            if care:
                fields = [self.escape(unescape(field)) for field in fields]
            if fields[_ID] != self._customer:
                append(self._end_of_customer())
                append(f'  <customer id="{fields[_ID]}" name="{fields[_NAME]}">\n')
                self._customer = fields[_ID]
                add = self._customer_sums.add
            head = _HEAD % tuple(fields[2:_PRICE])
            price, total, currency, kind, flags = fields[_PRICE:]
            add(currency, total)
            price = f' sales_price="{price}"' if price else ""
            flags = f' flags="{flags}"' if flags else ""
            append(f'{head}{price} total="{total}" currency="{currency}" kind="{kind}"{flags}/>\n')
        self._rows += len(rows)
        self._write("".join(out))

    def close(self) -> Rendered:
        """Finish the document and the check.

        Raises:
            DocumentError: the rows do not add up, or the document is not what the schema says.
        """
        self._write(self._end_of_day() + "</report>\n")
        self._check.close()
        self._all.check(self._document.totals)
        return Rendered(self._rows, self._replaced)

    def escape(self, text: str) -> str:
        """Text as an attribute's value; what XML forbids is replaced visibly and counted."""
        text, replaced = visible(text)
        self._replaced += replaced
        return text.translate(_ESCAPES)

    def _write(self, text: str) -> None:
        raw = text.encode()
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

    def _end_of_customer(self) -> str:
        if self._customer is None:
            return ""
        for code, amount in self._customer_sums.amounts.items():
            self._all.lines[code] = self._all.lines.get(code, 0) + self._customer_sums.lines[code]
            self._all.amounts[code] = self._all.amounts.get(code, amount - amount) + amount
        totals = "".join(f"   {_total(total)}\n" for total in self._customer_sums.totals())
        self._customer = None
        self._customer_sums = Sums()
        return f"{totals}  </customer>\n"

    def _end_of_day(self) -> str:
        return f"{self._end_of_customer()} </day>\n" if self._day_open else ""


def _total(total: Total) -> str:
    return f'<total currency="{total.currency}" lines="{total.lines}" amount="{plain(total.amount)}"/>'
