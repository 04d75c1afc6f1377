"""The synchronisation report: an inventory run, source by source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from report_builder.documents.model import Column, Table
from report_builder.documents.text import copy_row
from report_builder.reports.kinds.source import Content, Source
from report_builder.warehouse import reading

if TYPE_CHECKING:
    from report_builder.documents.element_writer import ElementWriter

SOURCES: Final = Table(
    name="sources",
    columns=(
        Column("run", width=30),
        Column("source", width=24),
        Column("state", width=12),
        Column("started_at", width=22),
        Column("finished_at", width=22),
        Column("seconds", "quantity", 10),
        Column("objects", "count", 10),
        Column("customers_reached", "count", 20),
        Column("customers_not_reached", "count", 24),
        Column("not_reached", width=60, optional=True),
        Column("failures", "count", 10),
    ),
    element="source",
)


async def compose(source: Source) -> Content:
    """A row per source that took part in the run."""
    run, sources = str(source.terms["run"]), source.terms["sources"]
    begin, end = min(one["started_at"] for one in sources), max(one["finished_at"] for one in sources)
    about = {"run": run, "started_at": begin, "finished_at": end, "seconds": _seconds(begin, end)}
    rows = None
    if source.wanted.format != "xml":
        rows = reading.Spool()
        for one in sources:
            rows.keep(copy_row([run, *(None if value is None else str(value) for value in _values(one).values())]))

    async def tree(writer: ElementWriter) -> None:
        writer.root(
            "report",
            about,
        )
        writer.facts()
        for one in sources:
            values = _values(one)
            del values["not_reached"]
            writer.begin("source", {("name" if name == "source" else name): value for name, value in values.items()})
            for customer in one["not_reached"]:
                writer.add("not_reached", {"customer": customer}, row=True)
            writer.end()

    return Content(
        table=SOURCES,
        rows=len(sources),
        totals=(),
        batches=(),
        sections=(),
        own_rows=rows,
        tree=tree,
        about=tuple(about.items()),
    )


def _values(one: Mapping[str, Any]) -> dict[str, str | int | None]:
    return {
        "source": one["source"],
        "state": one["state"],
        "started_at": one["started_at"],
        "finished_at": one["finished_at"],
        "seconds": _seconds(one["started_at"], one["finished_at"]),
        "objects": one["objects"],
        "customers_reached": one["customers_reached"],
        "customers_not_reached": one["not_reached_count"],
        "not_reached": ", ".join(one["not_reached"]) or None,
        "failures": one["failure_count"],
    }


def _seconds(begin: str, end: str) -> str:
    passed = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    whole, micro = passed.days * 86_400 + passed.seconds, passed.microseconds
    return f"{whole}.{micro:06d}".rstrip("0").rstrip(".")
