"""What the benchmarks stand on: real servers of their own, and medians of alternating runs."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from tallyport.postgres.migrations import Migration, migrate
from tallyport.settings import DatabaseSettings, KafkaSettings
from tallyport_local.postgres.databases import create_database, ensure_roles, owner_of, roles_of
from tallyport_local.recovery import remove_data
from tallyport_local.settings import LocalSettings
from tallyport_local.stack import Stack
from tallyport_local.state import DataFolder
from tallyport_local.topics import apply_topics, load_topics

PASSWORD = "benchmark"  # noqa: S105 - of servers that live as long as the run


@dataclass(frozen=True)
class Servers:
    """The servers of one benchmark run."""

    kafka: KafkaSettings
    postgres: str
    admin_dsn: str
    admin_password: str | None

    async def admin(self, database: str = "postgres") -> asyncpg.Connection[asyncpg.Record]:
        """The administrator's connection to ``database``."""
        dsn = self.admin_dsn.rpartition("/")[0] + f"/{database}"
        return await asyncpg.connect(dsn, password=self.admin_password)

    def database(self, name: str, role: str) -> DatabaseSettings:
        """Settings of a role in a database."""
        return DatabaseSettings.model_validate(
            {"dsn": f"postgresql://{role}@{self.postgres}/{name}", "password": PASSWORD}
        )


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """A Kafka and a PostgreSQL, started for this run and removed after it."""
    with tempfile.TemporaryDirectory(prefix="tallyport-bench-") as folder_name:
        Path(folder_name).chmod(0o755)
        folder = DataFolder(Path(folder_name) / "stack")
        folder.create()
        try:
            # The embedded broker is set to rest when idle; a broker that is to be fast compiles thoroughly.
            settings = LocalSettings(kafka_java_options="-XX:TieredStopAtLevel=4")
            async with Stack(folder, settings, services=()) as stack:
                kafka = KafkaSettings(bootstrap_servers=stack.kafka.bootstrap_servers, topic_prefix="bench.")
                await apply_topics(kafka, load_topics())
                dsn = stack.admin_dsn
                host = dsn.rpartition("@")[2].partition("/")[0]
                yield Servers(kafka, host, dsn, stack.admin_password)
        finally:
            remove_data(folder)


async def make_database(found: Servers, name: str, migrations: list[Migration]) -> None:
    """A migrated database of a service."""
    connection = await found.admin()
    try:
        await ensure_roles(connection, [name], dict.fromkeys(roles_of([name]), PASSWORD))
        await create_database(connection, name, service_database=name)
    finally:
        await connection.close()
    await migrate(found.database(name, owner_of(name)), migrations)


def say(text: str) -> None:
    """Progress, beside the figures."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that ``work`` takes."""
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a benchmark."""

    async def start() -> None:
        await main()

    asyncio.run(start())
