"""The subscription usage: the licences of a month, family after family."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tallyport.money import plain

from report_builder.documents.model import Column, Table
from report_builder.documents.text import copy_row
from report_builder.licences.counting import Counted, counted
from report_builder.reports.kinds.source import Content, Source, key_of, line_sums
from report_builder.warehouse import reading

if TYPE_CHECKING:
    from report_builder.documents.words import Words

LICENCES: Final = Table(
    name="licences",
    columns=(
        Column("family", width=30),
        Column("licence", width=20),
        Column("name", width=30),
        Column("counted", width=12),
        Column("calculated", "quantity", 12, optional=True),
        Column("manual", "quantity", 12, optional=True),
        Column("month_end", "quantity", 12, optional=True),
        Column("peak", "quantity", 12, optional=True),
        Column("average", "quantity", 12, optional=True),
        Column("days", "count", 8),
    ),
    element="licence",
)


async def compose(source: Source) -> Content:
    """A row per licence. A count that is not known is empty, and never 0."""
    from report_builder.documents.words import Words  # noqa: PLC0415 - reads Babel, which no other kind needs here

    found = await counted(source.connection, source.terms, [key_of(batch) for batch in source.batches])
    words = Words(source.wanted.language)
    rows = reading.Spool()
    for one in found:
        rows.keep(copy_row(_row(one, words)))
    facts, _ = await line_sums(source, source.batches)
    return Content(
        table=LICENCES,
        rows=rows.rows,
        totals=(),
        batches=facts,
        sections=(),
        own_rows=rows,
        about=tuple((name, source.terms[name]) for name in ("counts", "licence_model", "billing_mode")),
    )


def _row(one: Counted, words: Words) -> list[str | None]:
    by_hand = one.source == "manual"
    return [
        words(f"family.{one.family}"),
        one.id,
        one.name,
        words(f"counted.{one.source}"),
        None if by_hand else _text(one.last),
        _text(one.last) if by_hand else None,
        _text(one.last),
        _text(one.peak),
        _text(one.average),
        str(sum(count is not None for count in one.counts)),
    ]


def _text(count: Decimal | None) -> str | None:
    return None if count is None else plain(count)
