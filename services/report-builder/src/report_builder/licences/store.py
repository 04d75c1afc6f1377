"""The tables of licences and of the billing settings."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import asyncpg
from tallyport.postgres.queries import load_queries

from report_builder.licences.model import BillingSettings, LicenceDocument, ManualCount, Noted, NotedSettings

_QUERIES: Final = load_queries("report_builder.licences")


def _noted(row: asyncpg.Record) -> Noted:
    return Noted(row["noted_at"], row["noted_by"], row["reason"])


async def lock(connection: Any) -> None:
    """Be the only editor until the end of the transaction."""
    await connection.execute(_QUERIES["lock"])


async def document(connection: Any) -> tuple[LicenceDocument, Noted | None]:
    """The licences there are now, and who said so."""
    row = await connection.fetchrow(_QUERIES["document"])
    if row is None:
        return LicenceDocument(), None
    return LicenceDocument.model_validate_json(row["document"]), _noted(row)


async def put_document(connection: Any, wanted: LicenceDocument, noted: Noted) -> None:
    """From now on these are the licences."""
    await connection.execute(_QUERIES["put_document"], wanted.model_dump_json(), noted.at, noted.by, noted.reason)


async def manual_counts(connection: Any, licence: str | None, until: date | None) -> list[ManualCount]:
    """Those of one licence, or of all, in the order in which they are valid."""
    rows = await connection.fetch(_QUERIES["manual_counts"], licence, until)
    return [ManualCount(row["licence"], row["valid_from"], row["count"], _noted(row)) for row in rows]


async def put_manual_count(connection: Any, count: ManualCount) -> None:
    """From its day on this is the count."""
    noted = count.noted
    values = count.licence, count.valid_from, count.count, noted.at, noted.by, noted.reason
    await connection.execute(_QUERIES["put_manual_count"], *values)


async def first_manual_count(connection: Any, licence: str) -> date | None:
    """The earliest day that something was said of."""
    found: date | None = await connection.fetchval(_QUERIES["first_manual_count"], licence)
    return found


async def settings(connection: Any, day: date) -> NotedSettings:
    """Those that are valid on a day; before anybody said anything, those that hold of themselves."""
    row = await connection.fetchrow(_QUERIES["settings"], day)
    if row is None:
        return NotedSettings(BillingSettings(), None, None)
    values = {name: row[name] for name in BillingSettings.model_fields}
    return NotedSettings(BillingSettings(**values), row["valid_from"], _noted(row))


async def first_settings(connection: Any) -> date | None:
    """The earliest day that something was said of."""
    found: date | None = await connection.fetchval(_QUERIES["first_settings"])
    return found


async def put_settings(connection: Any, valid_from: date, wanted: BillingSettings, noted: Noted) -> None:
    """From a day on these are the settings."""
    values = [getattr(wanted, name) for name in BillingSettings.model_fields]
    await connection.execute(_QUERIES["put_settings"], valid_from, *values, noted.at, noted.by, noted.reason)
