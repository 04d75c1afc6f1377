"""Sessions of the role that views run as: one for each run, but where somebody waits for the same view again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import asyncpg
from tallyport.postgres.pool import DATABASE_ERRORS, connect_arguments

from billing_engine.billing_views.by_key import SEARCH_PATH
from billing_engine.billing_views.model import Dates, ViewRefusedError
from billing_engine.settings import ViewsDatabaseSettings

KEPT_SECONDS: Final = 60.0
BY_KEY_SECONDS: Final = 1
NOT_CONFINED: Final = "the login for views may do more than read olm and dbo; make it as docs/operations.md says"
# What tells a login that was only created from one that was also confined.
_TOO_MUCH: Final = """
SELECT rolsuper OR has_schema_privilege('public', 'USAGE')
    OR has_function_privilege('pg_catalog.set_config(text, text, boolean)', 'EXECUTE')
    OR has_database_privilege(current_database(), 'TEMPORARY')
FROM pg_roles WHERE rolname = current_user
"""
_BY_KEY: Final = {
    "statement_timeout": f"{BY_KEY_SECONDS}s",
    "search_path": SEARCH_PATH,
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_nestloop": "on",
    "enable_mergejoin": "on",
    # What the relations are made of is to be joined in any order: an id is known at one end only. The search for the
    # order is bounded, by this and by the statement's time.
    "join_collapse_limit": "12",
    "from_collapse_limit": "12",
    "geqo": "off",
}


@dataclass(slots=True)
class ViewSession:
    """A connection with a transaction for one run, and what it has prepared of ``column`` of the view ``sql``."""

    connection: Any
    sql: str
    column: str
    statement: Any | None = None


class ViewSessions:
    """Opens sessions.

    One that runs a view for everybody is closed after that run. The last one that was asked by key is kept for a short
    while, to ask the same view again: connecting and planning take longer than the answer. No other view gets to see
    it, so nothing that a view did to its session, no memory it took and no plan made for it is there for another.
    """

    def __init__(self, settings: ViewsDatabaseSettings) -> None:
        self._settings = settings
        self._kept: ViewSession | None = None

    @asynccontextmanager
    async def open(
        self, sql: str, column: str, snapshot: str, dates: Dates, *, by_key: bool
    ) -> AsyncIterator[ViewSession]:
        """A session for a view on an exported snapshot and a batch's dates; ``by_key``, with its settings for that.

        Raises:
            ViewRefusedError: the role may do more than it should.
        """
        session = await self._taken(sql, column, by_key=by_key)
        session = session or ViewSession(await self._connect(by_key=by_key), sql, column)
        done = False
        try:
            async with session.connection.transaction(isolation="repeatable_read", readonly=True):
                as_of = "" if dates.as_of is None else dates.as_of.isoformat()
                await session.connection.execute(
                    f"SET TRANSACTION SNAPSHOT '{snapshot}'; SET LOCAL olm.batch_date = '{dates.batch_date}'; "
                    f"SET LOCAL olm.usage_date = '{dates.usage_day}'; SET LOCAL olm.as_of = '{as_of}'"
                )
                if await session.connection.fetchval(_TOO_MUCH):
                    raise ViewRefusedError([NOT_CONFINED])
                yield session
            done = True
        finally:
            if done and by_key:
                self._keep(session)
            else:
                session.connection.terminate()

    def close(self) -> None:
        """Close the session that is kept, if one is."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.connection.terminate()

    async def _taken(self, sql: str, column: str, *, by_key: bool) -> ViewSession | None:
        """The session that is kept, if it is for this and still works; another is closed, for there may be few."""
        if not by_key or self._kept is None or (self._kept.sql, self._kept.column) != (sql, column):
            self.close()
            return None
        kept, self._kept = self._kept, None
        with suppress(*DATABASE_ERRORS):
            await kept.connection.execute("SELECT 1")
            return kept
        kept.connection.terminate()
        return None

    def _keep(self, session: ViewSession) -> None:
        self.close()
        self._kept = session
        asyncio.get_running_loop().call_later(KEPT_SECONDS, self._let_go, session)

    def _let_go(self, session: ViewSession) -> None:
        if self._kept is session:
            self.close()

    async def _connect(self, *, by_key: bool) -> Any:
        arguments = connect_arguments(self._settings, "billing-engine view")
        arguments["server_settings"] |= {
            "default_transaction_read_only": "on",
            # The engine ends it first and knows why; the server does, should the engine be gone.
            "transaction_timeout": f"{ceil(self._settings.run_timeout_seconds) + 5}s",
            "search_path": "olm, dbo, pg_catalog",
            # Joins row by row are what the planner falls into when it takes the rows of a view for few. To sort
            # everybody's rows and merge them takes a third longer than to hash them.
            "enable_nestloop": "off",
            "enable_mergejoin": "off",
            **(_BY_KEY if by_key else {}),
        }
        return await asyncpg.connect(**arguments, statement_cache_size=0)
