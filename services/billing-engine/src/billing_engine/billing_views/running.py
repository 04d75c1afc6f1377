"""Running a view as the role that can read ``olm`` and ``dbo`` and do nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import asyncpg

from billing_engine.billing_views.by_key import by_key
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
from billing_engine.billing_views.sessions import BY_KEY_SECONDS, ViewSessions
from billing_engine.settings import ViewsDatabaseSettings

ROWS_AT_A_TIME: Final = 1000
NOT_SET_UP: Final = (
    "this engine has no login for views; set TALLYPORT_VIEWS_DATABASE__DSN and __PASSWORD_FILE (docs/operations.md)"
)
_TIME_IS_OVER: Final = "25P04"  # the server ended the transaction; the driver has no class for it
_AWAY: Final = (
    asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, asyncpg.TooManyConnectionsError, ConnectionError,
)  # fmt: skip

Take = Callable[[Sequence[Row]], Awaitable[None]]

MOST_OBJECTS_BY_KEY: Final = 1000


@dataclass(frozen=True, slots=True)
class _About:
    """Which objects a view is asked about, all of them for None; ``singly``, each by itself."""

    objects: Sequence[str] | None
    singly: bool

    @property
    def arguments(self) -> tuple[list[str], ...]:
        return () if self.objects is None else (list(self.objects),)


EVERYTHING: Final = _About(None, singly=False)


class ViewRunner:
    """Runs views, a few at a time, each in a session of its own."""

    def __init__(self, settings: ViewsDatabaseSettings | None) -> None:
        self._settings = settings
        self._sessions = ViewSessions(settings) if settings is not None else None
        self._slots = asyncio.Semaphore(settings.runs_at_once if settings is not None else 1)

    def close(self) -> None:
        """Let go of what is kept for the next run."""
        if self._sessions is not None:
            self._sessions.close()

    async def run(
        self, name: str, sql: str, quantity_column: str, *, snapshot: str, dates: Dates, max_rows: int, take: Take
    ) -> int:
        """Run ``sql`` on an exported snapshot and hand its rows to ``take``, some at a time; returns how many.

        Raises:
            ViewFailedError: it does not give what it has to, took too long, or gave too much.
            OSError, asyncpg.PostgresError: the database is away.
        """
        return await self._run(name, sql, quantity_column, snapshot=snapshot, dates=dates, max_rows=max_rows, take=take)

    async def _run(
        self,
        name: str,
        sql: str,
        quantity_column: str,
        *,
        snapshot: str,
        dates: Dates,
        max_rows: int,
        take: Take,
        about: _About = EVERYTHING,
    ) -> int:
        if self._settings is None or self._sessions is None:
            raise ViewFailedError(name, NOT_SET_UP)
        limit = 2 * BY_KEY_SECONDS if about.singly else self._settings.run_timeout_seconds
        session_of = self._sessions.open(sql, quantity_column, snapshot, dates, by_key=about.singly)
        try:
            async with self._slots, asyncio.timeout(limit), session_of as session:
                statement = session.statement or await _prepared(session.connection, sql, quantity_column, about)
                session.statement = statement
                cursor = await statement.cursor(*about.arguments)
                return await self._read(cursor, name, max_rows=max_rows, take=take)
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

    async def run_for(
        self, name: str, sql: str, quantity_column: str, *, snapshot: str, dates: Dates, objects: Sequence[str]
    ) -> list[Row]:
        """The rows that ``run`` would give about ``objects``; the order is the view's.

        The condition stands outside of the view, so a row is what it is when everybody is asked for. First the view is
        asked about each object by itself, of relations that are made for it; where that cannot be done, fails or takes
        long, the whole view is run and the others' rows are left out.

        Raises:
            ViewFailedError: it does not give what it has to, took too long, or gave too much.
            OSError, asyncpg.PostgresError: the database is away.
        """
        rows: list[Row] = []
        most = len(objects) + ROWS_AT_A_TIME  # several rows for one object are the caller's to tell

        async def take(some: Sequence[Row]) -> None:
            rows.extend(some)

        run = partial(self._run, name, snapshot=snapshot, dates=dates, max_rows=most, take=take)
        narrow = by_key(sql) if dates.as_of is None and len(objects) <= MOST_OBJECTS_BY_KEY else None
        if narrow is not None:
            with suppress(ViewFailedError):
                await run(narrow, quantity_column, about=_About(objects, singly=True))
                return rows
        rows.clear()
        await run(sql, quantity_column, about=_About(objects, singly=False))
        return rows

    async def _read(self, cursor: Any, name: str, *, max_rows: int, take: Take) -> int:
        assert self._settings is not None  # noqa: S101 - the caller looked
        most, rows, characters = self._settings.max_result_megabytes * 1_000_000, 0, 0
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


async def _prepared(connection: Any, sql: str, quantity_column: str, about: _About) -> Any:
    """The statement that reads the five columns of a view.

    Raises:
        ViewRefusedError: a column is missing, or cannot be what it has to be.
    """
    # Within the parentheses nothing but a query can stand, and the extended protocol takes one statement at a time.
    statement = await connection.prepare(f"SELECT * FROM (\n{sql}\n) AS result")  # noqa: S608 - it is the view
    found = {attribute.name: attribute.type.name for attribute in statement.get_attributes()}
    columns = columns_of(found, quantity_column)
    return await connection.prepare(_select(_source(sql, columns, about), columns))


def _source(sql: str, columns: Columns, about: _About) -> str:
    """The view as a table expression named ``result``, with the condition outside of it."""
    if about.objects is None:
        return f"(\n{sql}\n) AS result"
    object_id = f"result.{_quoted(columns.object_id)}::text"
    if not about.singly:
        return f"(\n{sql}\n) AS result WHERE {object_id} = ANY ($1::text[])"
    # A list of objects stays outside of an aggregate in the view, one object does not. OFFSET keeps it one.
    alone = f"SELECT * FROM (\n{sql}\n) AS result WHERE {object_id} = asked.object_id OFFSET 0"  # noqa: S608 - the view
    return f"unnest($1::text[]) AS asked (object_id) CROSS JOIN LATERAL ({alone}) AS result"


def _select(source: str, columns: Columns) -> str:
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
    return f"SELECT {', '.join(texts)}, {quantity} FROM {source}"  # noqa: S608 - it is the view


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
