"""Frozen batches as reports read them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import asyncpg
from tallyport.postgres.queries import load_queries

from report_builder.warehouse.model import Batch, BatchKey, LevelSums, amounts

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_QUERIES: Final = load_queries("report_builder.warehouse")
_BLOCK_BYTES: Final = 256 * 1024
_COPY_TIMEOUT_SECONDS: Final = 3600


@asynccontextmanager
async def snapshot(connection: Connection) -> AsyncIterator[None]:
    """One unchanging view of the warehouse, with settings that suit reading whole batches."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # A batch loaded a moment ago has no statistics yet: without these the planner joins a million lines one by one.
        await connection.execute("SET LOCAL enable_nestloop = off; SET LOCAL jit = off")
        await connection.execute("SET LOCAL statement_timeout = '1h'")
        yield


async def current_batches(connection: Connection, from_date: date, to_date: date) -> list[Batch]:
    """The current revision of each date of the period that has one, both ends inclusive."""
    rows = await connection.fetch(_QUERIES["current_batches"], from_date, to_date)
    return [
        Batch(**{**row, "totals": amounts(row["totals"]), "completeness": json.loads(row["completeness"])})
        for row in map(dict, rows)
    ]


async def organisations_below(connection: Connection, batch: BatchKey, organisation: str) -> list[str]:
    """The organisation and all below it; empty when the batch does not know it."""
    return [row["id"] for row in await connection.fetch(_QUERIES["organisations_below"], *batch, organisation)]


async def organisation_name(connection: Connection, batch: BatchKey, organisation: str) -> str:
    """What it was called when the batch was frozen."""
    return str(await connection.fetchval(_QUERIES["organisation_name"], *batch, organisation) or organisation)


async def chains_upward(
    connection: Connection, batches: Sequence[BatchKey], organisation: str
) -> dict[BatchKey, list[str]]:
    """Per batch that knows the organisation: itself and those above it, when the batch was frozen."""
    days, revisions = [day for day, _ in batches], [revision for _, revision in batches]
    rows = await connection.fetch(_QUERIES["chains_upward"], days, revisions, organisation)
    return {(row["batch_date"], row["revision"]): row["chain"] for row in rows}


async def newest_batch(connection: Connection) -> BatchKey | None:
    """The current revision of the latest date; None in an empty warehouse."""
    row = await connection.fetchrow(_QUERIES["newest_batch"])
    return (row["batch_date"], row["revision"]) if row else None


class OutOfScopeError(LookupError):
    """An organisation sees its own level and those below it; the organisation asked for is not among them."""


async def level_sums(connection: Connection, batch: BatchKey, organisation: str, *, viewer: str) -> list[LevelSums]:
    """Sales and cost of ``organisation``, per organisation directly below it and currency, as ``viewer`` may see them.

    What it pays is its own; what the organisations above it pay each other is in none of the figures.

    Raises:
        OutOfScopeError: it is not ``viewer`` and not below it, or the batch does not know it.
    """
    if not await connection.fetchval(_QUERIES["stands_below"], *batch, organisation, viewer):
        raise OutOfScopeError(f"{organisation!r} is not {viewer!r} and not below it")
    ids, _, *others = await levels_below(connection, batch, organisation)
    return [LevelSums(*row) for row in await connection.fetch(_QUERIES["level_sums"], *batch, ids, *others)]


async def levels_below(connection: Connection, batch: BatchKey, organisation: str) -> list[list[Any]]:
    """The organisation and all below it, as lists: ids, names, how far below, through whom, whether it is the root."""
    rows = await connection.fetch(_QUERIES["levels_below"], *batch, organisation)
    return [[row[column] for row in rows] for column in ("id", "name", "height", "sold_to", "is_root")]


async def organisation_type(connection: Connection, batch: BatchKey, organisation: str) -> str | None:
    """What kind of node it was when the batch was frozen; None when the batch does not know it."""
    found: str | None = await connection.fetchval(_QUERIES["organisation_type"], *batch, organisation)
    return found


async def sums(
    connection: Connection, batch: BatchKey, customers: Sequence[str] | None
) -> list[tuple[str, int, Decimal]]:
    """Currency, lines and sum of the totals, of some customers or of all."""
    if customers is None:
        row = await connection.fetchrow(_QUERIES["known_sums"], *batch)
        counted: dict[str, int] = json.loads(row["currency_lines"]) if row else {}
        if row and counted:
            return [(code, counted[code], total) for code, total in amounts(row["totals"]).items()]
    rows = await connection.fetch(_QUERIES["sums_by_currency"], *batch, customers)
    return [(row["currency"], row["lines"], row["total"]) for row in rows]


async def service_sums(connection: Connection, *values: Any) -> list[tuple[str, str, Decimal, Decimal | None]]:
    """Currency, service, what it came to in this period and in the last one, if there is data."""
    return [tuple(row) for row in await connection.fetch(_QUERIES["summary_services"], *values)]


RowsOf = Literal["report_rows", "detail_rows", "detail_totals", "reseller_rows", "reseller_totals", "summary_rows"]
"""The statements whose rows go into documents."""


async def count_rows(connection: Connection, name: RowsOf, *values: Any) -> int:
    """How many rows ``stream_rows`` will give."""
    # Nothing but two texts that are shipped with the service.
    return int(await connection.fetchval(f"SELECT count(*) FROM (\n{_QUERIES[name]}) AS counted", *values))  # noqa: S608


async def stream_rows(
    connection: Connection,
    name: RowsOf,
    *values: Any,
    copy_format: Literal["text", "csv"],
    feed: Callable[[bytes], None],
) -> None:
    """Give ``feed`` a statement's rows, as COPY writes them, in blocks of whole rows of some 256 KiB."""
    collected: list[bytes] = []
    size = 0

    async def take(data: Any) -> None:
        nonlocal size
        collected.append(bytes(data))
        size += len(data)
        if size >= _BLOCK_BYTES and (block := _whole(collected, copy_format)):
            size = sum(map(len, collected))
            feed(block)

    await connection.copy_from_query(
        _QUERIES[name], *values, output=take, format=copy_format, null="", timeout=_COPY_TIMEOUT_SECONDS
    )
    if rest := b"".join(collected):
        feed(rest)


class Spool:
    """Rows that are wanted again, kept in a file: how many there are has to be known before the first is shown."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="tallyport-")  # noqa: SIM115 - it lives as long as the report
        self.rows = 0

    def keep(self, block: bytes) -> None:
        """Whole rows as COPY's text format writes them, in which a line feed is nothing but the end of a row."""
        self.rows += block.count(b"\n")
        self._file.write(block)

    def blocks(self) -> Iterator[bytes]:
        """The rows, once, in blocks of whole rows; afterwards they are gone."""
        self._file.seek(0)
        with self._file as file:
            while rows := file.readlines(_BLOCK_BYTES):
                yield b"".join(rows)


def _whole(collected: list[bytes], copy_format: str) -> bytes:
    """Take whole rows out of what was collected; nothing if it ends in the middle of a quoted field."""
    joined = b"".join(collected)
    end = joined.rfind(b"\n") + 1
    block = joined[:end]
    if copy_format == "csv" and block.count(b'"') % 2:
        collected[:] = [joined]
        return b""
    collected[:] = [joined[end:]] if end < len(joined) else []
    return block
