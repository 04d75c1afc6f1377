"""The working set of a transfer or a preview, and the lines that are computed from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from tallyport.contracts.catalog import BillingUnit
from tallyport.money import MINOR_DIGITS
from tallyport.postgres.queries import load_queries

from billing_engine.billing_units.model import Row, Schemas, work_rows

_QUERIES: Final = load_queries("billing_engine.transfers.lines")

Connection = Any  # an asyncpg connection, from a pool or not


@dataclass(frozen=True, slots=True)
class Part:
    """Computed rows: what stands between the brackets of the published array, not frozen yet."""

    first_key: str
    row_count: int
    rows: str


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of some customers, and what they sum up to per currency."""

    parts: list[Part]
    totals: dict[str, Decimal]
    without_usage: int
    without_price: int


async def prepare_work(connection: Connection, usage_day: date) -> list[int]:
    """Fill the working set inside the caller's transaction; returns the customers' numbers in report order."""
    await create_work(connection)
    return await fill_work(connection, {"": await published_schemas(connection)}, usage_day)


async def create_work(connection: Connection) -> None:
    """Have a working set, which is empty again when the transaction ends.

    Its tables stay for the next who has this connection: making them takes longer than one customer's lines.
    """
    if not await connection.fetchval(_QUERIES["has_work_tables"]):
        await connection.execute(_QUERIES["create_work_tables"])


async def fill_work(
    connection: Connection, schemas: Mapping[str, Schemas], usage_day: date, *, customer: str | None = None
) -> list[int]:
    """Fill it with sets of rules and everything else lines are made of; the customers' numbers in report order.

    The lines of each set name their unit with the set's key before its id. With ``customer`` the working set is that of
    one customer, and empty if it has nothing that is billed.
    """
    units: list[Row] = []
    amounts: list[Row] = []
    for mark, some in schemas.items():
        more = work_rows(some, after=len(units), mark=mark)
        units += more[0]
        amounts += more[1]
    await connection.execute(_QUERIES["fill_work_unit"], usage_day, json.dumps(units))
    await connection.execute(_QUERIES["fill_work_amount"], json.dumps(amounts))
    await connection.execute(_QUERIES["fill_work_ancestor"], customer)
    for name in ("fill_work_customer", "fill_work_level", "fill_work_override"):
        await connection.execute(_QUERIES[name])
    await connection.execute(_QUERIES["fill_work_conversion"], usage_day)
    customers = [row["customer_no"] for row in await connection.fetch(_QUERIES["customers_in_order"])]
    only = None if customer is None else next(iter(customers), 0)
    if await connection.fetchval(_QUERIES["has_rules"]):
        await connection.execute(_QUERIES["fill_work_exempt"], usage_day, only)
    if customer is None:
        await connection.execute(_QUERIES["analyse_work"])
    return customers


async def published_schemas(connection: Connection) -> dict[str, list[BillingUnit]]:
    """The units of every service's newest version."""
    rows = await connection.fetch(_QUERIES["published_units"])
    return {row["service"]: [BillingUnit(**unit) for unit in json.loads(row["units"])] for row in rows}


async def customers_within(connection: Connection, organisation: str) -> list[int]:
    """The customers of the working set that are an organisation or below it, in order."""
    return [row["customer_no"] for row in await connection.fetch(_QUERIES["customers_within"], organisation)]


async def compute_lines(
    connection: Connection, *, customers: Sequence[int], rows_per_part: int, usage_day: date
) -> Lines:
    """Compute the lines of ``customers``, in report order."""
    rows = await connection.fetch(
        _QUERIES["compute_lines"],
        list(customers),
        rows_per_part,
        usage_day,
        list(MINOR_DIGITS),
        list(MINOR_DIGITS.values()),
    )
    sums = [row for row in rows if row["rows"] is None]
    return Lines(
        parts=[Part(row["first_key"], row["row_count"], row["rows"]) for row in rows if row["rows"] is not None],
        totals={row["currency"]: Decimal(row["total"]) for row in sums},
        without_usage=sum(row["no_data"] for row in sums),
        without_price=sum(row["no_price"] for row in sums),
    )


async def compute_organisations(connection: Connection, rows_per_part: int, billed: Sequence[int] = ()) -> list[Part]:
    """The tree as it is now, with the organisations ``billed`` even where they are removed."""
    rows = await connection.fetch(_QUERIES["compute_organisations"], rows_per_part, list(billed))
    return [Part(row["first_key"], row["row_count"], row["rows"]) for row in rows]


async def compute_allocations(connection: Connection, rows_per_part: int) -> list[Part]:
    """How many of each plan were allocated and used."""
    rows = await connection.fetch(_QUERIES["compute_allocations"], rows_per_part)
    return [Part(row["first_key"], row["row_count"], row["rows"]) for row in rows]
