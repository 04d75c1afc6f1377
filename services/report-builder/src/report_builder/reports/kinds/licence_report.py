"""The licence report: the system's licences in use on a day, each marked how it was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from report_builder.documents.model import Column, Table
from report_builder.licences.counting import Counted, counted
from report_builder.reports.kinds.source import Content, Source, key_of, line_sums

if TYPE_CHECKING:
    from report_builder.documents.element_writer import ElementWriter

LICENCES: Final = Table(
    name="licences",
    columns=(
        Column("id"),
        Column("name"),
        Column("family"),
        Column("core"),
        Column("counted"),
        Column("count", "quantity", optional=True),
    ),
    element="licence",
)


async def compose(source: Source) -> Content:
    """The licences as of the last batch of the period."""
    facts, _ = await line_sums(source, source.batches[-1:])
    found = await counted(source.connection, source.terms, [key_of(batch) for batch in source.batches[-1:]])

    async def tree(writer: ElementWriter) -> None:
        terms, document = source.terms, writer.document
        writer.root(
            "report",
            {
                "from": document.from_date,
                "to": document.to_date,
                "as_of": facts[-1].batch_date,
                "counts": terms["counts"],
                "licence_model": terms["licence_model"],
            },
        )
        writer.facts()
        for one in found:
            writer.add("licence", attributes(one), row=True)

    return Content(table=LICENCES, rows=len(found), totals=(), batches=facts, sections=(), tree=tree)


def attributes(one: Counted) -> dict[str, str | None]:
    """A licence and its count in the last batch."""
    return {
        "id": one.id,
        "name": one.name,
        "family": one.family,
        "core": "true" if one.core else "false",
        "counted": one.source,
        "count": None if one.last is None else f"{one.last:f}",
    }
