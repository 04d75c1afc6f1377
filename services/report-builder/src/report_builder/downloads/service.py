"""Giving artifacts out: to whom may see the report, and to whoever holds a link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
from tallyport.clock import Clock

from report_builder.artifacts.service import ArtifactStore
from report_builder.downloads import store
from report_builder.downloads.model import How, Link, read_link
from report_builder.downloads.store import Download
from report_builder.reports.model import Asker, Part, Report
from report_builder.reports.service import ReportService


class NotReadyError(ValueError):
    """There is no artifact yet, or never will be."""


class UnknownPartError(LookupError):
    """The report has no such part."""


class LetGoError(LookupError):
    """The artifact was kept as long as it has to be, and is gone."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A part and its bytes, in blocks."""

    report: Report
    part: Part
    blocks: AsyncIterator[bytes]


class Downloads:
    """Each of them is noted before the first byte goes out."""

    def __init__(
        self,
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        reports: ReportService,
        objects: ArtifactStore,
        clock: Clock,
        key: bytes,
        base_url: str,
    ) -> None:
        self._pool = pool
        self._reports = reports
        self._objects = objects
        self._clock = clock
        self._key = key
        self._base_url = base_url.rstrip("/")

    async def hand_out(self, report_id: str, number: int, asker: Asker) -> Handed:
        """A part to whom may see the report; parts are counted from 1.

        Raises:
            UnknownReportError, UnknownPartError: it is not there, for him at least.
            NotReadyError: not yet, or it failed.
            LetGoError: not any more.
        """
        report = await self._reports.get(report_id, asker.organisation)
        part = _part(report, number)
        await self._note(report_id, number, asker.name, "token")
        return Handed(report, part, self._objects.read(part.key))

    async def link(self, report_id: str, number: int, asker: Asker, seconds: int) -> tuple[str, datetime]:
        """A URL that gives the part to whoever has it, and until when: the object store's own where it makes them.

        Raises:
            UnknownReportError, UnknownPartError, NotReadyError, LetGoError: as with ``hand_out``.
        """
        part = _part(await self._reports.get(report_id, asker.organisation), number)
        expires_at = self._clock.now() + timedelta(seconds=seconds)
        signed = await self._objects.signed_url(part.key, seconds)
        if signed is not None:
            await self._note(report_id, number, asker.name, "signed_url")
            return signed, expires_at
        text = Link(report_id, number, asker.name, expires_at).sign(self._key)
        return f"{self._base_url}/downloads/{quote(text)}", expires_at

    async def by_link(self, text: str) -> Handed:
        """A part to the holder of a link.

        Raises:
            InvalidLinkError, ExpiredLinkError: the link gives nothing.
            UnknownReportError, UnknownPartError, NotReadyError, LetGoError: as with ``hand_out``.
        """
        link = read_link(text, self._key, self._clock.now())
        report = await self._reports.get(link.report_id)
        part = _part(report, link.number)
        await self._note(link.report_id, link.number, link.by, "link")
        return Handed(report, part, self._objects.read(part.key))

    async def history(self, report_id: str, limit: int) -> list[Download]:
        """Who fetched the report, newest first.

        Raises:
            UnknownReportError: there is none.
        """
        await self._reports.get(report_id)
        async with self._pool.acquire() as connection:
            return await store.downloads(connection, report_id, limit)

    async def _note(self, report_id: str, number: int, by: str, how: How) -> None:
        async with self._pool.acquire() as connection:
            session: Any = connection
            await store.note(session, report_id, number, at=self._clock.now(), by=by, how=how)


def _part(report: Report, number: int) -> Part:
    if report.let_go_at is not None:
        raise LetGoError(f"its artifacts were let go on {report.let_go_at:%Y-%m-%d}; ask for the report again")
    if report.state != "ready":
        raise NotReadyError(report.reason or f"it is {report.state}; try again later")
    if not 1 <= number <= len(report.parts):
        raise UnknownPartError(f"the report has {len(report.parts)} parts, counted from 1")
    return report.parts[number - 1]
