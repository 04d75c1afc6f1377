"""The sizes of the databases on a real server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

import asyncpg
from pydantic import TypeAdapter, ValidationError
from tallyport.contracts.base import Identifier
from tallyport.contracts.collection import CollectionFailure
from tallyport.contracts.usage import MAX_SAMPLES_PER_CHUNK, UsageChunk
from tallyport.postgres.pool import DATABASE_ERRORS
from tallyport.postgres.queries import load_queries

from usage_collector.sources.model import PostgresSource

COUNTER: Final = "DatabaseSizeMB"
TIMEOUT_SECONDS: Final = 60.0
_AWAY: Final[tuple[type[BaseException], ...]] = (*DATABASE_ERRORS, ValueError)
BYTES_PER_MEGABYTE: Final = Decimal(1024 * 1024)
_SIX_DIGITS: Final = Decimal("0.000001")
_WIDE: Final = Context(prec=60, rounding=ROUND_HALF_UP)
_IDENTIFIER: Final = TypeAdapter[str](Identifier)
_QUERIES: Final = load_queries("usage_collector.sources", "server.sql")


class ServerAwayError(Exception):
    """The server cannot be read now; the message says why."""


@dataclass
class Sizes:
    """One reading of a server."""

    object_ids: list[str] = field(default_factory=list)
    values: list[Decimal] = field(default_factory=list)
    failures: list[CollectionFailure] = field(default_factory=list)

    def chunks(self, measured_at: datetime) -> list[UsageChunk]:
        """The reading in columns."""
        return [
            UsageChunk(
                counter=COUNTER,
                day=measured_at.date(),
                measured_at=measured_at,
                object_ids=self.object_ids[start : start + MAX_SAMPLES_PER_CHUNK],
                values=self.values[start : start + MAX_SAMPLES_PER_CHUNK],
            )
            for start in range(0, len(self.object_ids), MAX_SAMPLES_PER_CHUNK)
        ]


def megabytes(size_bytes: int) -> Decimal:
    """Bytes as megabytes of 1,048,576 bytes, six digits after the point."""
    return _WIDE.divide(Decimal(size_bytes), BYTES_PER_MEGABYTE).quantize(_SIX_DIGITS, context=_WIDE)


async def read_sizes(source: PostgresSource) -> Sizes:
    """The size of every database that is no template; one that cannot be measured is a failure of its own.

    Raises:
        ServerAwayError: the server cannot be reached, or refuses.
    """
    try:
        password = await asyncio.to_thread(_password, source)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            connection = await asyncpg.connect(
                source.dsn, password=password, timeout=10, server_settings={"application_name": "usage-collector"}
            )
            try:
                return await _measure(connection, source)
            finally:
                await connection.close(timeout=5)
    except _AWAY as error:
        raise ServerAwayError(f"{type(error).__name__}: {error}".rstrip(": ")) from error


def _password(source: PostgresSource) -> str | None:
    return source.password_file.read_text(encoding="utf-8").strip() if source.password_file else None


async def _measure(connection: asyncpg.Connection[asyncpg.Record], source: PostgresSource) -> Sizes:
    sizes = Sizes()
    for database in await connection.fetch(_QUERIES["databases"]):
        name = database["datname"]
        try:
            size_bytes = await connection.fetchval(_QUERIES["size_of"], database["oid"])
            if size_bytes is None:  # dropped since it was listed
                continue
            sizes.object_ids.append(_IDENTIFIER.validate_python(f"{source.object_prefix}{name}"))
            sizes.values.append(megabytes(size_bytes))
        except (asyncpg.InvalidCatalogNameError, asyncpg.UndefinedObjectError):
            continue
        except asyncpg.InsufficientPrivilegeError as error:
            sizes.failures.append(CollectionFailure(place=f"database {name}", reason=str(error)))
        except ValidationError:
            sizes.failures.append(
                CollectionFailure(place=f"database {name!r}", reason="the name cannot be an object's id")
            )
    return sizes
