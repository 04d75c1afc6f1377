"""What a document says, whatever its format: tables, what their rows must add up to, and the facts about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, Inexact, localcontext
from operator import itemgetter
from typing import Final, Literal, Protocol

EXACT: Final = Context(prec=200, traps=[Inexact])
"""Decimal's own context rounds to 28 digits in silence; sums of long numbers need more."""

DAY_COLUMN: Final = "batch_date"
CURRENCY: Final = "currency"

NONE: Final = "none"
"""How the completeness statement says that a list is empty."""

ColumnKind = Literal["text", "date", "count", "quantity", "money"]


class DocumentError(RuntimeError):
    """The document cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name in .csv and .xml, what it holds, how wide it is shown in characters.

    An ``optional`` one may be empty where that says something: in .xml the attribute is left out.
    """

    name: str
    kind: ColumnKind = "text"
    width: int = 12
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive rows that are one element of the .xml: its name, and the attributes its first columns make."""

    element: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one shape.

    ``by_day``: they come batch after batch, and the batch's date is a column before the others. ``adds_up``: the
    columns whose sums are announced, each with the attribute of a total in .xml; ``counted`` is the column that says
    how many lines a row stands for, otherwise it is one. ``outline``: the columns that make a row of totals one level
    deeper each. ``remarks``: sheets say in words what is special about a row, from its kind, its flags and the date it
    corrects.
    """

    name: str
    columns: tuple[Column, ...]
    element: str = "line"
    group: Group | None = None
    by_day: bool = False
    adds_up: tuple[tuple[str, str], ...] = ()
    counted: str | None = None
    outline: tuple[str, ...] = ()
    remarks: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns a row is fed with; the date of a ``by_day`` table is not among them."""
        return tuple(column.name for column in self.columns)

    @property
    def header(self) -> tuple[str, ...]:
        """All columns, as a .csv lists them."""
        return (DAY_COLUMN, *self.names) if self.by_day else self.names

    def index(self, name: str) -> int:
        """Where a column is in a row as fed."""
        return self.names.index(name)

    def of_kind(self, *kinds: ColumnKind) -> tuple[int, ...]:
        """Where the columns of some kinds are."""
        return tuple(index for index, column in enumerate(self.columns) if column.kind in kinds)


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """One frozen batch the document is made from; ``lines`` are those of the scope."""

    batch_date: date
    revision: int
    sha256: str
    lines: int


@dataclass(frozen=True, slots=True)
class Total:
    """So many lines that sum to so much: one amount for each column that adds up.

    ``unknown`` lines lack one of them; the amounts are without what is not known.
    """

    currency: str
    lines: int
    amounts: tuple[Decimal, ...]
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose lines: an organisation and all below it."""

    organisation: str
    name: str


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """Figures of one chart, per label, in one currency; None is "no data"."""

    currency: str
    labels: tuple[str, ...]
    this_period: tuple[Decimal, ...]
    last_period: tuple[Decimal | None, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A report: everything but its rows. ``from_date`` and ``to_date`` are inclusive.

    ``table`` is what the report is about; ``totals_table`` stands before it in sheets, and has ``totals_rows`` rows.
    Nothing here says when or by whom it was made: the same request from the same batches gives the same bytes.
    """

    kind: str
    language: str
    from_date: date
    to_date: date
    scope: Scope | None
    batches: tuple[BatchFacts, ...]
    missing: tuple[date, ...]
    table: Table
    rows: int
    totals: tuple[Total, ...]
    totals_table: Table | None = None
    totals_rows: int = 0
    compared: tuple[BatchFacts, ...] = ()
    compared_missing: tuple[date, ...] = ()
    completeness: tuple[tuple[str, str], ...] = ()
    charts: tuple[ChartSeries, ...] = ()

    @property
    def lines(self) -> int:
        """How many billing lines it is about."""
        return sum(batch.lines for batch in self.batches)


def facts_by_day(document: Document) -> Iterator[tuple[str, str, str]]:
    """The completeness statement, each fact with the date of the batch it is about, or none."""
    for fact, value in document.completeness:
        day, dot, name = fact.partition(".")
        yield (day, name, value) if dot else ("", fact, value)


Figures = dict[bytes, list[tuple[bytes, ...]]]
"""What is to be added up of a block of rows, by currency: of each row what ``Sums.pick`` takes."""


class Sums:
    """Adds up what passes, to be compared with what the database says. Exact, however long the numbers are."""

    def __init__(self, table: Table) -> None:
        self.currency = table.index(CURRENCY)
        self._counted = table.counted is not None
        count = table.index(table.counted) if table.counted is not None else self.currency
        amounts = [table.index(name) for name, _ in table.adds_up]
        self.pick: Callable[[Sequence[bytes]], tuple[bytes, ...]] = itemgetter(count, *amounts)
        self._nothing = [Decimal(0)] * len(amounts)
        self._lines: dict[str, int] = {}
        self._unknown: dict[str, int] = {}
        self._amounts: dict[str, list[Decimal]] = {}

    def take(self, figures: Figures) -> None:
        """Add the figures up; leaves nothing in them."""
        for key, rows in figures.items():
            currency = key.decode()
            counts, *columns = zip(*rows, strict=True)
            known = self._known(currency)
            self._lines[currency] += sum(map(int, counts)) if self._counted else len(counts)
            holes = any(b"" in column for column in columns)
            if holes:
                self._unknown[currency] += sum(b"" in row for row in rows)
            with localcontext(EXACT):
                for index, column in enumerate(columns):
                    texts = filter(None, column) if holes else column
                    known[index] = sum(map(Decimal, b" ".join(texts).decode().split()), known[index])
        figures.clear()

    def join(self, other: Sums) -> None:
        """Add what another has added up."""
        for currency, amounts in other._amounts.items():
            known = self._known(currency)
            with localcontext(EXACT):
                known[:] = [one + more for one, more in zip(known, amounts, strict=True)]
            self._lines[currency] += other._lines[currency]
            self._unknown[currency] += other._unknown[currency]

    def totals(self) -> tuple[Total, ...]:
        """Per currency, in the order of their codes."""
        return tuple(
            Total(code, self._lines[code], tuple(self._amounts[code]), self._unknown[code])
            for code in sorted(self._lines)
        )

    def check(self, expected: Iterable[Total]) -> None:
        """Compare with what was announced.

        Raises:
            DocumentError: the rows do not add up to it.
        """
        if self.totals() != tuple(sorted(expected, key=lambda total: total.currency)):
            raise DocumentError("the rows do not add up to the totals of the batches; run verify on these dates")

    def _known(self, currency: str) -> list[Decimal]:
        self._lines.setdefault(currency, 0)
        self._unknown.setdefault(currency, 0)
        return self._amounts.setdefault(currency, list(self._nothing))


@dataclass(frozen=True, slots=True)
class Rendered:
    """What was written. ``replaced`` counts characters the format cannot hold, shown as U+FFFD or cut off."""

    rows: int
    replaced: int


class Renderer(Protocol):
    """Writes a document while its rows come by: the table of totals, if the format has one, then the document's own."""

    copy_format: str
    """How rows are fed: ``text`` or ``csv``, as COPY writes them."""
    with_totals: bool
    """Whether it shows the table of totals."""

    def begin(self, table: Table, day: date | None = None) -> None:
        """Rows of this table follow, of this date if the table is by day."""

    def feed(self, block: bytes) -> None:
        """Whole rows of the table's columns, in its order; nulls are empty fields."""

    def close(self) -> Rendered:
        """Finish the file."""
