"""Sessions of the role that views run as: one for each run, and one that is there already for somebody who waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import ceil
from typing import Any, Final

import asyncpg
from tallyport.postgres.pool import DATABASE_ERRORS, connect_arguments

from billing_engine.billing_views.by_key import SEARCH_PATH
from billing_engine.billing_views.checking import RELATIONS
from billing_engine.billing_views.model import Dates, ViewRefusedError
from billing_engine.settings import ViewsDatabaseSettings

SPARE_SECONDS: Final = 60.0
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
    "jit": "off",
    "enable_nestloop": "on",
    # What the relations are made of is to be joined in any order: an id is known at one end only. The search for the
    # order is bounded, by this and by the statement's time.
    "join_collapse_limit": "12",
    "from_collapse_limit": "12",
    "geqo": "off",
}
# A session learns what a relation is made of when it first plans with it; better before than while somebody waits.
_ALL_BY_KEY: Final = " UNION ALL ".join(
    f"SELECT count(*) FROM {schema}_by_key.{name} WHERE false"  # noqa: S608 - names of this program's own
    for schema, names in RELATIONS.items()
    for name in sorted(names)
)


class ViewSessions:
    """Opens sessions, each for one run.

    It is closed after that: nothing that a view did to its session, no memory it took and no plan made for it is there
    when the next one runs.
    """

    def __init__(self, settings: ViewsDatabaseSettings) -> None:
        self._settings = settings
        self._spare: asyncio.Task[Any] | None = None

    @asynccontextmanager
    async def open(self, snapshot: str, dates: Dates, *, by_key: bool) -> AsyncIterator[Any]:
        """A session on an exported snapshot, for a batch's dates; ``by_key``, one that reads olm_by_key and dbo_by_key.

        Raises:
            ViewRefusedError: the role may do more than it should.
        """
        spare, self._spare = self._spare, None
        # A run for everybody has all the connections that the role may have to itself.
        connection = await self._taken(spare, wanted=by_key) or await self._connect(by_key=by_key)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                as_of = "" if dates.as_of is None else dates.as_of.isoformat()
                await connection.execute(
                    f"SET TRANSACTION SNAPSHOT '{snapshot}'; SET LOCAL olm.batch_date = '{dates.batch_date}'; "
                    f"SET LOCAL olm.usage_date = '{dates.usage_day}'; SET LOCAL olm.as_of = '{as_of}'"
                )
                yield connection
        finally:
            connection.terminate()
            if by_key and self._spare is None:
                self._spare = asyncio.create_task(self._open_spare(), name="spare view session")

    async def close(self) -> None:
        """Close the session that waits, if one does."""
        spare, self._spare = self._spare, None
        await self._taken(spare, wanted=False)

    async def _connect(self, *, by_key: bool) -> Any:
        arguments = connect_arguments(self._settings, "billing-engine view")
        arguments["server_settings"] |= {
            "default_transaction_read_only": "on",
            # The engine ends it first and knows why; the server does, should the engine be gone.
            "transaction_timeout": f"{ceil(self._settings.run_timeout_seconds) + 5}s",
            "search_path": "olm, dbo, pg_catalog",
            # Joins row by row are what the planner falls into when it takes the rows of a view for few.
            "enable_nestloop": "off",
            **(_BY_KEY if by_key else {}),
        }
        connection = await asyncpg.connect(**arguments, statement_cache_size=0)
        try:
            await _refuse_too_much(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _open_spare(self) -> Any:
        """A session that no view has seen; closed unused after a while."""
        connection = await self._connect(by_key=True)
        try:
            await connection.execute(_ALL_BY_KEY)
        except BaseException:
            connection.terminate()
            raise
        asyncio.get_running_loop().call_later(SPARE_SECONDS, self._give_up, connection, asyncio.current_task())
        return connection

    def _give_up(self, connection: Any, task: asyncio.Task[Any] | None) -> None:
        if self._spare is task:
            self._spare = None
            connection.terminate()

    async def _taken(self, spare: asyncio.Task[Any] | None, *, wanted: bool) -> Any | None:
        """The session that was opened beforehand, if it is ``wanted`` and still works."""
        if spare is None:
            return None
        if not wanted:
            spare.cancel()
        await asyncio.wait([spare])
        if spare.cancelled() or spare.exception() is not None:
            return None
        connection = spare.result()
        if wanted:
            with suppress(*DATABASE_ERRORS):
                await connection.execute("SELECT 1")
                return connection
        connection.terminate()
        return None


async def _refuse_too_much(connection: Any) -> None:
    if await connection.fetchval(_TOO_MUCH):
        raise ViewRefusedError([NOT_CONFINED])
