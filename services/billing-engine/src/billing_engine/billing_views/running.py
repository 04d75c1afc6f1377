"""Running a view as the role that can read ``olm`` and ``dbo`` and do nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from math import ceil
from typing import Any, Final

import asyncpg
from tallyport.postgres.pool import connect_arguments

from billing_engine.billing_views.model import (
    MAX_ID_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    Columns,
    Dates,
    Row,
    ViewFailedError,
    ViewRefusedError,
    columns_of,
    row_fault,
)
from billing_engine.settings import ViewsDatabaseSettings

ROWS_AT_A_TIME: Final = 1000
NOT_SET_UP: Final = (
    "this engine has no login for views; set TALLYPORT_VIEWS_DATABASE__DSN and __PASSWORD_FILE (docs/operations.md)"
)
NOT_CONFINED: Final = "the login for views may do more than read olm and dbo; make it as docs/operations.md says"
# What tells a login that was only created from one that was also confined.
_TOO_MUCH: Final = """
SELECT rolsuper OR has_schema_privilege('public', 'USAGE')
    OR has_function_privilege('pg_catalog.set_config(text, text, boolean)', 'EXECUTE')
    OR has_database_privilege(current_database(), 'TEMPORARY')
FROM pg_roles WHERE rolname = current_user
"""
_TIME_IS_OVER: Final = "25P04"  # the server ended the transaction; the driver has no class for it
_AWAY: Final = (
    asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, asyncpg.TooManyConnectionsError, ConnectionError,
)  # fmt: skip

Take = Callable[[Sequence[Row]], Awaitable[None]]


class ViewRunner:
    """Runs views, a few at a time, each on a connection of its own.

    A connection is made for one run and closed after it: nothing that a view did to its session, no memory it took and
    no plan made for it is there when the next one runs. It costs a few milliseconds.
    """

    def __init__(self, settings: ViewsDatabaseSettings | None) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.runs_at_once if settings is not None else 1)

    async def run(
        self, name: str, sql: str, quantity_column: str, *, snapshot: str, dates: Dates, max_rows: int, take: Take
    ) -> int:
        """Run ``sql`` on an exported snapshot and hand its rows to ``take``, some at a time; returns how many.

        Raises:
            ViewFailedError: it does not give what it has to, took too long, or gave too much.
            OSError, asyncpg.PostgresError: the database is away.
        """
        if self._settings is None:
            raise ViewFailedError(name, NOT_SET_UP)
        limit = self._settings.run_timeout_seconds
        try:
            async with self._slots, asyncio.timeout(limit), self._session(self._settings, snapshot, dates) as session:
                columns = await _columns(session, sql, quantity_column)
                return await self._read(session, name, _select(sql, columns), max_rows=max_rows, take=take)
        except ViewRefusedError as error:
            raise ViewFailedError(name, str(error)) from None
        except TimeoutError:
            raise ViewFailedError(name, f"it took longer than {limit:g} seconds") from None
        except _AWAY:
            raise
        except asyncpg.PostgresError as error:
            raise ViewFailedError(name, _reason(error, self._settings)) from None
        except (asyncpg.InterfaceError, OSError) as error:
            raise ViewFailedError(name, f"the database ended its session: {error}") from None

    @asynccontextmanager
    async def _session(self, settings: ViewsDatabaseSettings, snapshot: str, dates: Dates) -> AsyncIterator[Any]:
        arguments = connect_arguments(settings, "billing-engine view")
        arguments["server_settings"] |= {
            "default_transaction_read_only": "on",
            # The engine ends it first and knows why; the server does, should the engine be gone.
            "transaction_timeout": f"{ceil(settings.run_timeout_seconds) + 5}s",
            "search_path": "olm, dbo, pg_catalog",
            # Joins row by row are what the planner falls into when it takes the rows of a view for few.
            "enable_nestloop": "off",
            "olm.batch_date": str(dates.batch_date),
            "olm.usage_date": str(dates.usage_day),
            "olm.as_of": "" if dates.as_of is None else dates.as_of.isoformat(),
        }
        connection = await asyncpg.connect(**arguments, statement_cache_size=0)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
                if await connection.fetchval(_TOO_MUCH):
                    raise ViewRefusedError([NOT_CONFINED])
                yield connection
        finally:
            connection.terminate()

    async def _read(self, session: Any, name: str, select: str, *, max_rows: int, take: Take) -> int:
        assert self._settings is not None  # noqa: S101 - the caller looked
        most, rows, characters = self._settings.max_result_megabytes * 1_000_000, 0, 0
        cursor = await session.cursor(select)
        while fetched := await cursor.fetch(ROWS_AT_A_TIME):
            some: list[Row] = [tuple(row.values()) for row in fetched]
            rows += len(some)
            if rows > max_rows:
                raise ViewFailedError(name, f"it gives more rows than there are objects it could be about ({max_rows})")
            for row in some:
                if fault := row_fault(row):
                    raise ViewFailedError(name, fault)
                characters += sum(len(said) for said in row[:4] if said is not None)
            if characters > most:
                raise ViewFailedError(name, f"its result is larger than {self._settings.max_result_megabytes} MB")
            await take(some)
        return rows


async def _columns(session: Any, sql: str, quantity_column: str) -> Columns:
    # Within the parentheses nothing but a query can stand, and the extended protocol takes one statement at a time.
    statement = await session.prepare(f"SELECT * FROM (\n{sql}\n) AS result")  # noqa: S608 - it is the view
    found = {attribute.name: attribute.type.name for attribute in statement.get_attributes()}
    return columns_of(found, quantity_column)


def _select(sql: str, columns: Columns) -> str:
    """The five columns, cut where they would be refused anyway, so that no value is larger here than it may be."""
    texts = [
        f"left(result.{_quoted(name)}::text, {longest + 1})"
        for name, longest in (
            (columns.object_id, MAX_ID_CHARACTERS),
            (columns.plan_id, MAX_ID_CHARACTERS),
            (columns.description, MAX_TEXT_CHARACTERS),
            (columns.name, MAX_TEXT_CHARACTERS),
        )
    ]
    quantity = f"trim_scale(result.{_quoted(columns.quantity)}::numeric)"
    return f"SELECT {', '.join(texts)}, {quantity} FROM (\n{sql}\n) AS result"  # noqa: S608 - it is the view


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _reason(error: asyncpg.PostgresError, settings: ViewsDatabaseSettings) -> str:
    if isinstance(error, asyncpg.QueryCanceledError):
        return f"a statement took longer than {settings.statement_timeout_seconds} seconds"
    if error.sqlstate == _TIME_IS_OVER:
        return f"it took longer than {settings.run_timeout_seconds:g} seconds"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return f"the login for views is refused: {error}"
    detail = getattr(error, "hint", None)
    return f"{error}" + (f" ({detail})" if detail else "")
