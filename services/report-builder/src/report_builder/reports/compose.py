"""A report's document from the warehouse: its facts first, then its rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, cast

from report_builder.documents.model import NONE, Document, DocumentError, Rendered, Renderer, Scope
from report_builder.reports.kinds import billing_summary, customer_detail, reseller_detail
from report_builder.reports.kinds.source import Above, Compose, Section, Source, key_of
from report_builder.reports.model import Facts, PinnedBatch, Wanted, reach_back, without_names
from report_builder.reports.store import Connection
from report_builder.warehouse import reading

_KINDS: Final[dict[str, Compose]] = {
    "billing-summary": billing_summary.compose,
    "customer-detail": customer_detail.compose,
    "reseller-detail": reseller_detail.compose,
}


_PROVIDER: Final = "service_provider"


@dataclass(frozen=True, slots=True)
class Composition:
    """Everything but the rows, and where those come from."""

    document: Document
    sections: tuple[Section, ...]
    above: Above | None
    """The table of totals, if the format shows one."""
    completeness: Facts


@asynccontextmanager
async def compose(
    connection: Connection,
    wanted: Wanted,
    batches: Sequence[PinnedBatch],
    missing: Sequence[date],
    completeness: Facts,
) -> AsyncIterator[Composition]:
    """The document's facts; the rows are read in the same snapshot, while the block lasts.

    Raises:
        DocumentError: no batch knows the organisation, or this kind says nothing about it.
    """
    async with reading.snapshot(connection):
        compared = tuple(batch for batch in batches if batch.batch_date < wanted.from_date)
        days = (wanted.from_date - (begin := reach_back(wanted))).days
        before = {batch.batch_date for batch in compared}
        own = tuple(batch for batch in batches if batch.batch_date >= wanted.from_date)
        scope, organisation_type = await _scope(connection, wanted, own)
        source = Source(
            connection=connection,
            wanted=wanted,
            batches=own,
            compared=compared,
            missing=tuple(missing),
            compared_missing=tuple(
                day for offset in range(days) if (day := begin + timedelta(days=offset)) not in before
            ),
            scope=scope,
            organisation_type=organisation_type,
        )
        facts = await _statement(source, completeness)
        content = await _KINDS[wanted.kind](source)
        document = Document(
            kind=wanted.kind,
            language=wanted.language,
            from_date=wanted.from_date,
            to_date=wanted.to_date,
            scope=source.scope,
            batches=content.batches,
            missing=source.missing,
            table=content.table,
            rows=content.rows,
            totals=content.totals,
            totals_table=content.above.table if content.above else None,
            totals_rows=content.above.spool.rows if content.above else 0,
            compared=content.compared,
            compared_missing=source.compared_missing,
            completeness=tuple((name, _text(value)) for name, value in sorted(facts.items())),
            charts=content.charts,
        )
        yield Composition(document, content.sections, content.above, facts)


async def _scope(
    connection: Connection, wanted: Wanted, batches: Sequence[PinnedBatch]
) -> tuple[Scope | None, str | None]:
    """The organisation by its latest name, and what kind of node it is; nothing for everybody."""
    scope: Scope | None = None
    kind: str | None = None
    if wanted.organisation is not None:
        for batch in batches:
            if found := await reading.organisation_type(connection, key_of(batch), wanted.organisation):
                name = await reading.organisation_name(connection, key_of(batch), wanted.organisation)
                kind, scope = found, Scope(wanted.organisation, name)
        if scope is None:
            raise DocumentError(
                f"organisation {wanted.organisation!r} is in none of the batches from {wanted.from_date} to "
                f"{wanted.to_date}; look up its id, or ask for other dates"
            )
    return scope, kind


async def _statement(source: Source, completeness: Facts) -> Facts:
    """The completeness statement, with what only became known here.

    Whoever is not the provider is not told names of what may be others', only how many, whoever noted the statement.
    """
    everything = source.organisation_type in (None, _PROVIDER)
    facts: Facts = dict(completeness) if everything else without_names(completeness)
    if source.wanted.organisation is not None:
        absent = [
            str(batch.batch_date)
            for batch in source.batches
            if not await reading.organisation_type(source.connection, key_of(batch), source.wanted.organisation)
        ]
        if absent:
            facts["dates_without_the_organisation"] = list(absent)
    if source.compared_missing:
        facts["compared_dates_missing"] = [str(day) for day in source.compared_missing]
    return facts


async def pour(
    connection: Connection, composed: Composition, renderer: Renderer, on_rows: Callable[[int], None]
) -> Rendered:
    """Give the renderer its rows; ``on_rows`` is told how many more of the document's own table."""

    def feed(block: bytes) -> None:
        renderer.feed(block)
        on_rows(block.count(b"\n"))

    copy_format = cast("Literal['text', 'csv']", renderer.copy_format)
    if composed.above is not None and renderer.with_totals:
        renderer.begin(composed.above.table)
        for block in composed.above.spool.blocks():
            renderer.feed(block)
    for section in composed.sections:
        renderer.begin(section.table, section.day)
        await reading.stream_rows(connection, section.statement, *section.values, copy_format=copy_format, feed=feed)
    return renderer.close()


def _text(value: str | int | list[str]) -> str:
    return (", ".join(value) or NONE) if isinstance(value, list) else str(value)
