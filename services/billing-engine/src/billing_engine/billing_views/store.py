"""Registered views in PostgreSQL, and the rows they gave, in the working set of a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from tallyport.postgres.queries import load_queries

from billing_engine.billing_views.model import Definition, RegisteredView, Row, ViewWork

_QUERIES: Final = load_queries("billing_engine.billing_views")
_ROW_COLUMNS: Final = ("object_id", "plan_id", "description", "name", "quantity")

Connection = Any  # an asyncpg connection, from a pool or not


async def lock(connection: Connection, name: str) -> None:
    """Register ``name`` alone until the transaction ends."""
    await connection.execute(_QUERIES["lock_view"], name)


async def put(
    connection: Connection, given: Definition, version: int, *, sql: str, at: datetime, by: str
) -> RegisteredView:
    """Enter a version, for ever."""
    view = RegisteredView(
        **given.model_dump(exclude={"sql"}),
        version=version,
        source_sql=given.sql,
        sql=sql,
        registered_at=at,
        registered_by=by,
    )
    await connection.execute(
        _QUERIES["put_view"], view.name, view.version, view.service, view.plan_type, view.label, view.quantity_column,
        view.dialect, view.source_sql, view.sql, view.registered_at, view.registered_by,
    )  # fmt: skip
    return view


async def newest(
    connection: Connection, name: str | None = None, *, after: str | None = None, limit: int | None = None
) -> list[RegisteredView]:
    """The newest version of every view, or of the one that is named, by name; ``limit`` at most, behind ``after``."""
    rows = await connection.fetch(_QUERIES["newest_views"], name, after, limit)
    return [RegisteredView(**dict(row.items())) for row in rows]


async def version(connection: Connection, name: str, number: int | None) -> RegisteredView | None:
    """One version; the newest for None."""
    if number is None:
        return next(iter(await newest(connection, name)), None)
    row = await connection.fetchrow(_QUERIES["view_version"], name, number)
    return None if row is None else RegisteredView(**dict(row.items()))


async def versions(connection: Connection, name: str) -> list[RegisteredView]:
    """All versions of a view, newest first."""
    return [RegisteredView(**dict(row.items())) for row in await connection.fetch(_QUERIES["view_versions"], name)]


async def service_exists(connection: Connection, service: str) -> bool:
    """Whether the catalogue has it."""
    return bool(await connection.fetchval(_QUERIES["service_exists"], service))


async def create_work(connection: Connection) -> None:
    """Have the table for a view's rows, which is empty again when the transaction ends."""
    if not await connection.fetchval(_QUERIES["has_work"]):
        await connection.execute(_QUERIES["create_work"])


async def export_snapshot(connection: Connection) -> str:
    """Let another session see what this transaction sees."""
    return str(await connection.fetchval(_QUERIES["export_snapshot"]))


async def put_rows(connection: Connection, rows: Sequence[Row]) -> None:
    """Keep some of a view's rows."""
    await connection.copy_records_to_table("work_view_row", records=rows, columns=_ROW_COLUMNS)


async def analyse_rows(connection: Connection) -> None:
    """Let the planner know how many rows there are."""
    await connection.execute(_QUERIES["analyse_rows"])


async def clear_rows(connection: Connection) -> None:
    """Make way for the next view's rows."""
    await connection.execute(_QUERIES["clear_rows"])


async def fill_lines(
    connection: Connection, work: ViewWork, units: Sequence[int], customer_no: int | None = None
) -> None:
    """Make the rows the lines of units, given by number; all are about objects of the customer, if one is given."""
    if customer_no is not None:
        await connection.execute(_QUERIES["fill_work_view_of"], list(units), work.service, work.subject, customer_no)
        return
    await connection.execute(_QUERIES["fill_work_view"], list(units), work.service, work.subject)
    await connection.execute(_QUERIES["analyse_lines"])


async def count_objects(connection: Connection, service: str, subject: str) -> int:
    """How many objects of this kind the service has."""
    return int(await connection.fetchval(_QUERIES["count_objects"], service, subject))


async def objects_of(connection: Connection, service: str, subject: str, customer: str) -> list[str]:
    """The ids of the billed objects of this kind that a customer has of the service."""
    rows = await connection.fetch(_QUERIES["objects_of"], service, subject, customer)
    return [row["id"] for row in rows]


async def objects_twice(connection: Connection) -> list[tuple[str, int]]:
    """A few of the objects that have several rows, with how many."""
    return [(row["object_id"], row["rows"]) for row in await connection.fetch(_QUERIES["objects_twice"])]


async def objects_unknown(connection: Connection, service: str, subject: str) -> list[str]:
    """A few of the object ids that are none of the service's."""
    return [row["object_id"] for row in await connection.fetch(_QUERIES["objects_unknown"], service, subject)]


async def unpriced_rows(connection: Connection, service: str, plan_type: str) -> int:
    """How many rows name no plan of this type that the service has."""
    return int(await connection.fetchval(_QUERIES["unpriced_rows"], service, plan_type))
