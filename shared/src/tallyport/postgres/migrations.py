"""Forward-only migrations: numbered SQL files, applied once, checksummed, each in a transaction of its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import asyncpg
import structlog

from tallyport.postgres.pool import connect_arguments
from tallyport.settings import DatabaseSettings

log = structlog.get_logger()

_FILE: Final = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_LOCK: Final = 0x7A11_9087  # any number, the same for every migration run

_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    namespace  text        NOT NULL,
    number     integer     NOT NULL,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, number)
)
"""


class MigrationError(RuntimeError):
    """The files and the database do not agree."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its namespace (whose series it belongs to), number, name and text."""

    namespace: str
    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The checksum that proves an applied file was not edited."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(namespace: str, package: str) -> list[Migration]:
    """The migrations in ``package``'s ``migrations`` folder, in order.

    Raises:
        MigrationError: a name that is not ``NNNN_what.sql``, or a gap in the numbers.
    """
    found: list[Migration] = []
    for entry in files(package).joinpath("migrations").iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE.match(entry.name)
        if match is None:
            raise MigrationError(f"{package}: {entry.name} is not named NNNN_what.sql")
        found.append(Migration(namespace, int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationError(f"{package}: number {expected:04} is missing before {migration.number:04}")
    return found


async def migrate(settings: DatabaseSettings, migrations: Sequence[Migration]) -> list[Migration]:
    """Apply what is not applied yet, in the given order; two runs at once take turns. Returns what was applied.

    Raises:
        MigrationError: an applied file differs from the one given.
        asyncpg.PostgresError: the statement that failed; its migration left nothing behind.
    """
    connection = await asyncpg.connect(**connect_arguments(settings, "migrate"))
    applied: list[Migration] = []
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute(_LEDGER)
        rows = await connection.fetch("SELECT namespace, number, sha256 FROM schema_migration")
        known = {(row["namespace"], row["number"]): row["sha256"] for row in rows}
        for migration in migrations:
            checksum = known.get((migration.namespace, migration.number))
            if checksum == migration.sha256:
                continue
            if checksum is not None:
                raise MigrationError(
                    f"{migration.namespace} {migration.number:04}_{migration.name} was edited after it was applied; "
                    "write a new migration instead"
                )
            await _apply(connection, migration)
            applied.append(migration)
    finally:
        await connection.close()
    return applied


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    async with connection.transaction():
        # A migration that cannot get its lock quickly gives up instead of queueing everybody behind it.
        await connection.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '300s'")
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migration (namespace, number, name, sha256) VALUES ($1, $2, $3, $4)",
            migration.namespace,
            migration.number,
            migration.name,
            migration.sha256,
        )
    log.info("migration_applied", namespace=migration.namespace, number=migration.number, name=migration.name)
