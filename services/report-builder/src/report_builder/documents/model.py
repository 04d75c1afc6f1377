"""What a document says, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Context, Decimal, Inexact, localcontext
from typing import Final, Protocol

COLUMNS: Final = (
    "batch_date", "customer_id", "customer_name", "service", "plan_type", "unit", "object_id", "description", "name",
    "stock_code", "unit_code", "quantity", "sales_price", "total", "currency", "kind", "flags",
)  # fmt: skip
"""The customer detail's columns. Scripts read the .csv by these names: they never change, new ones come after."""

ROW_COLUMNS: Final = COLUMNS[1:]
"""A row as a renderer is fed it: the date is that of the batch it was told of before."""


EXACT: Final = Context(prec=200, traps=[Inexact])
"""Decimal's own context rounds to 28 digits in silence; sums of long numbers need more."""


class DocumentError(RuntimeError):
    """The document cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """One frozen batch the document is made from."""

    batch_date: date
    revision: int
    sha256: str
    lines: int


@dataclass(frozen=True, slots=True)
class Total:
    """So many lines that sum to so much."""

    currency: str
    lines: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class CustomerTotal:
    """What one customer's lines sum to, over all dates of the document."""

    customer_id: str
    customer_name: str
    total: Total


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose lines: an organisation and all below it."""

    organisation: str
    name: str


@dataclass(frozen=True, slots=True)
class Document:
    """A customer detail: everything but its rows. ``from_date`` and ``to_date`` are inclusive.

    Nothing here says when or by whom it was made: the same request from the same batches gives the same bytes.
    """

    from_date: date
    to_date: date
    scope: Scope | None
    batches: tuple[BatchFacts, ...]
    missing: tuple[date, ...]
    totals: tuple[Total, ...]
    customer_totals: int
    completeness: tuple[tuple[str, str], ...] = ()

    @property
    def lines(self) -> int:
        """How many rows there are."""
        return sum(batch.lines for batch in self.batches)


@dataclass(slots=True)
class Sums:
    """Adds up what passes, to be compared with what the database says. Exact, however long the numbers are."""

    lines: dict[str, int] = field(default_factory=dict)
    amounts: dict[str, Decimal] = field(default_factory=dict)

    def add(self, currency: str, totals: Sequence[str]) -> None:
        """More rows of one currency."""
        with localcontext(EXACT):
            self.amounts[currency] = sum(map(Decimal, totals), self.amounts.get(currency, Decimal(0)))
        self.lines[currency] = self.lines.get(currency, 0) + len(totals)

    def take(self, totals: dict[bytes, list[bytes]]) -> None:
        """The same of what a block of rows held, by currency; leaves nothing in it."""
        for currency, found in totals.items():
            self.add(currency.decode(), b" ".join(found).decode().split(" "))
        totals.clear()

    def join(self, other: Sums) -> None:
        """Add what another has added up."""
        for currency, amount in other.amounts.items():
            with localcontext(EXACT):
                self.amounts[currency] = self.amounts.get(currency, Decimal(0)) + amount
            self.lines[currency] = self.lines.get(currency, 0) + other.lines[currency]

    def totals(self) -> tuple[Total, ...]:
        """Per currency, in the order of their codes."""
        return tuple(Total(code, self.lines[code], self.amounts[code]) for code in sorted(self.lines))

    def check(self, expected: Iterable[Total]) -> None:
        """Compare with what was announced.

        Raises:
            DocumentError: the rows do not add up to it.
        """
        if self.totals() != tuple(sorted(expected, key=lambda total: total.currency)):
            raise DocumentError("the rows do not add up to the totals of the batches; run verify on these dates")


@dataclass(frozen=True, slots=True)
class Rendered:
    """What was written. ``replaced`` counts characters the format cannot hold, shown as U+FFFD or cut off."""

    rows: int
    replaced: int


class Renderer(Protocol):
    """Writes a document while its rows come by. Calls come in this order, ``feed`` as often as there are blocks."""

    copy_format: str
    """How rows are fed: ``text`` or ``csv``, as COPY writes them."""

    def customer_totals(self, block: str) -> None:
        """Whole rows of id, name, currency, lines and sum as COPY's text, ordered by customer and currency."""

    def begin_batch(self, batch: BatchFacts) -> None:
        """Rows of this batch follow."""

    def feed(self, block: bytes) -> None:
        """Whole rows of ``ROW_COLUMNS``, ordered by customer, service, unit and object; nulls are empty fields."""

    def close(self) -> Rendered:
        """Finish the file."""
