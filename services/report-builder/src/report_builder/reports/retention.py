"""Letting artifacts go that were kept as long as they have to be. Nothing else ever removes one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Final

import asyncpg
import structlog
from tallyport.clock import Clock
from tallyport.postgres.pool import DATABASE_ERRORS

from report_builder.artifacts.service import STORE_ERRORS, ArtifactStore
from report_builder.reports import store

log = structlog.get_logger()

LOOK_SECONDS: Final = 3600.0


class Retention:
    """Days by kind of report, and for all other kinds; None keeps them for ever.

    The objects go first, then it is noted: one that was interrupted is taken up again, and finds less to remove.
    The row of the report stays, with its hashes.
    """

    def __init__(
        self,
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        objects: ArtifactStore,
        clock: Clock,
        days: int | None,
        days_by_kind: Mapping[str, int],
    ) -> None:
        self._pool = pool
        self._objects = objects
        self._clock = clock
        self._days: dict[str | None, int | None] = {None: days}
        self._days.update(days_by_kind)

    async def run(self) -> None:
        """Look every hour."""
        while True:
            try:
                await self.let_go()
            except (*DATABASE_ERRORS, *STORE_ERRORS) as error:
                log.warning("retention_waits", error=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("retention_broke")
            await asyncio.sleep(LOOK_SECONDS)

    async def let_go(self) -> int:
        """Remove what is too old; how many reports it was."""
        gone = 0
        now = self._clock.now()
        others = [kind for kind in self._days if kind is not None]
        async with self._pool.acquire() as connection:
            session: Any = connection
            for kind, days in self._days.items():
                if days is None:
                    continue
                until = now - timedelta(days=days)
                while found := await store.kept_longer_than(session, kind, others, until):
                    for report_id in found:
                        await self._remove(session, report_id)
                        await store.let_go(session, report_id, now)
                    gone += len(found)
        if gone:
            log.info("artifacts_let_go", reports=gone)
        return gone

    async def _remove(self, connection: Any, report_id: str) -> None:
        report = await store.get(connection, report_id)
        for folder in {str(PurePosixPath(part.key).parent) for part in report.parts} if report else ():
            await self._objects.remove_folder(folder)
