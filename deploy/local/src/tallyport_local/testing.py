"""Fixtures for tests on real servers; a pytest plugin, switched on for the whole repository in ``pyproject.toml``.

The servers are the embedded ones; containers with ``--containers``; or those named by TALLYPORT_TEST_KAFKA
(``host:port``) and TALLYPORT_TEST_POSTGRES_ADMIN_DSN. Names are random, so runs beside each other do not meet.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr
from tallyport.messaging.kafka import producer
from tallyport.postgres.pool import open_pool
from tallyport.settings import DatabaseSettings, KafkaSettings

from tallyport_local.errors import OperationFailedError
from tallyport_local.postgres.confined import views_role_of
from tallyport_local.postgres.databases import confine, create_database, ensure_roles, owner_of, roles_of
from tallyport_local.processes import last_lines, run_to_end
from tallyport_local.recovery import remove_data
from tallyport_local.s3_server import S3Server
from tallyport_local.services import SERVICES, Service, Surroundings
from tallyport_local.settings import LocalSettings
from tallyport_local.stack import MIGRATION_TIMEOUT_SECONDS, Stack
from tallyport_local.state import DataFolder
from tallyport_local.topics import apply_topics, load_topics

DATABASES: Final = tuple(service.database for service in SERVICES if service.database)
_SERVICES: Final = {service.database: service for service in SERVICES if service.database}


@dataclass(frozen=True)
class Infrastructure:
    """A Kafka and a PostgreSQL for the whole test session."""

    kafka: str
    admin_dsn: str
    admin_password: str | None
    folder: DataFolder

    @property
    def server(self) -> str:
        """PostgreSQL's ``host:port``."""
        parts = urlsplit(self.admin_dsn)
        return f"{parts.hostname}:{parts.port or 5432}"

    def password(self, role: str) -> str:
        """A role's password: the same for every session on this server, because roles belong to the server."""
        return hmac.new(f"{self.admin_dsn} {self.admin_password}".encode(), role.encode(), hashlib.sha256).hexdigest()

    async def admin(self) -> asyncpg.Connection[asyncpg.Record]:
        """A new connection of the administrator; the caller closes it."""
        return await asyncpg.connect(self.admin_dsn, password=self.admin_password)


@dataclass(frozen=True)
class ServiceDatabase:
    """A fresh, migrated database of one service."""

    name: str
    runtime: DatabaseSettings
    owner: DatabaseSettings
    views: DatabaseSettings | None = None


MakeDatabase = Callable[[str], Awaitable[ServiceDatabase]]
Connect = Callable[[str], Awaitable["tuple[ServiceDatabase, asyncpg.Pool[asyncpg.Record]]"]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--containers``: take the servers from containers instead of the embedded ones."""
    parser.addoption("--containers", action="store_true", help="Kafka and PostgreSQL from containers (testcontainers)")


def pytest_configure(config: pytest.Config) -> None:
    """Docker's client leaves its Unix sockets to the garbage collector; everything else is still an error."""
    if config.getoption("--containers"):
        config.addinivalue_line(
            "filterwarnings",
            r"ignore:unclosed <socket.socket fd=\d+, family=1, :ResourceWarning",
        )


@pytest.fixture(scope="session")
def stack_settings() -> LocalSettings:
    """The stack's settings without the servers an operator may have named for himself."""
    defaults = LocalSettings()
    return LocalSettings.model_construct(
        cache=defaults.cache, maven_url=defaults.maven_url, start_timeout_seconds=defaults.start_timeout_seconds
    )


@pytest.fixture
def stack_folder(tmp_path: Path) -> Iterator[DataFolder]:
    """An empty data folder; whatever still runs in it afterwards is ended."""
    folder = DataFolder(tmp_path / "stack")
    yield folder
    remove_data(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def infrastructure(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, stack_settings: LocalSettings
) -> AsyncIterator[Infrastructure]:
    """The session's servers, with all roles made."""
    folder = DataFolder(tmp_path_factory.mktemp("infrastructure") / "stack")
    folder.create()
    kafka = os.environ.get("TALLYPORT_TEST_KAFKA")
    dsn = os.environ.get("TALLYPORT_TEST_POSTGRES_ADMIN_DSN")
    async with AsyncExitStack() as open_things:
        if kafka and dsn:
            found = Infrastructure(kafka, dsn, None, folder)
        elif request.config.getoption("--containers"):
            from tallyport_local.containers import containers  # noqa: PLC0415 - only where a Docker engine answers

            try:
                found = Infrastructure(*await open_things.enter_async_context(containers()), None, folder)
            except OperationFailedError as error:
                raise pytest.fail.Exception(str(error), pytrace=False) from None
        else:
            stack = await open_things.enter_async_context(Stack(folder, stack_settings, services=()))
            found = Infrastructure(stack.kafka.bootstrap_servers, stack.admin_dsn, stack.admin_password, folder)
        connection = await found.admin()
        try:
            await ensure_roles(connection, DATABASES, {role: found.password(role) for role in roles_of(DATABASES)})
        finally:
            await connection.close()
        yield found
    if folder.looks_like_ours():
        remove_data(folder)


@asynccontextmanager
async def _dropped_at_end(infrastructure: Infrastructure, names: list[str]) -> AsyncIterator[None]:
    """Drop the databases whose names were added meanwhile."""
    try:
        yield
    finally:
        connection = await infrastructure.admin()
        try:
            for name in names:
                await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            await connection.close()


def _settings(infrastructure: Infrastructure, name: str, role: str) -> DatabaseSettings:
    return DatabaseSettings(
        dsn=f"postgresql://{role}@{infrastructure.server}/{name}",
        password=SecretStr(infrastructure.password(role)),
        statement_timeout_seconds=60,
        pool_size=4,
    )


async def _migrate(infrastructure: Infrastructure, service: Service, name: str) -> None:
    """Run the service's own ``migrate`` on a database, as an installation does."""
    surroundings = Surroundings(
        folder=infrastructure.folder,
        kafka=infrastructure.kafka,
        topic_prefix="unused.",
        postgres=infrastructure.server,
        object_store=infrastructure.folder.objects.as_uri(),
    )
    owner = owner_of(service.database or "")
    launch = surroundings.migrate(service)
    launch.env["TALLYPORT_DATABASE__DSN"] = surroundings.dsn(name, owner)
    del launch.env["TALLYPORT_DATABASE__PASSWORD_FILE"]
    launch.env["TALLYPORT_DATABASE__PASSWORD"] = infrastructure.password(owner)
    if await run_to_end(launch, MIGRATION_TIMEOUT_SECONDS) != 0:
        pytest.fail(f"the migrations of {service.name} failed:\n{last_lines(launch.log)}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _migrated_template(infrastructure: Infrastructure) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Gives the name of a migrated, otherwise empty database of a service; made once a session."""
    made: dict[str, str] = {}
    names: list[str] = []

    async def template(database: str) -> str:
        if database not in made:
            name = f"template_{database}_{secrets.token_hex(4)}"
            names.append(name)
            connection = await infrastructure.admin()
            try:
                await create_database(connection, name, service_database=database)
            finally:
                await connection.close()
            await confine(infrastructure.admin_dsn, infrastructure.admin_password, database, name)
            await _migrate(infrastructure, _SERVICES[database], name)
            made[database] = name
        return made[database]

    async with _dropped_at_end(infrastructure, names):
        yield template


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(
    infrastructure: Infrastructure, _migrated_template: Callable[[str], Awaitable[str]]
) -> AsyncIterator[MakeDatabase]:
    """Makes fresh, migrated databases of the service whose database is named; they are dropped after the module."""
    names: list[str] = []

    async def make(service_database: str) -> ServiceDatabase:
        template = await _migrated_template(service_database)
        name = f"{service_database}_{secrets.token_hex(4)}"
        names.append(name)
        connection = await infrastructure.admin()
        try:
            await create_database(connection, name, service_database=service_database, template=template)
        finally:
            await connection.close()
        views_role = views_role_of(service_database)
        return ServiceDatabase(
            name=name,
            runtime=_settings(infrastructure, name, service_database),
            owner=_settings(infrastructure, name, owner_of(service_database)),
            views=_settings(infrastructure, name, views_role) if views_role else None,
        )

    async with _dropped_at_end(infrastructure, names):
        yield make


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def connect(database: MakeDatabase) -> AsyncIterator[Connect]:
    """Makes a fresh database of the named service, and a pool of its runtime role, closed after the module."""
    async with AsyncExitStack() as pools:

        async def make(service_database: str) -> tuple[ServiceDatabase, asyncpg.Pool[asyncpg.Record]]:
            made = await database(service_database)
            pool = await open_pool(made.runtime, "test")
            pools.push_async_callback(pool.close)
            return made, pool

        yield make


@pytest.fixture(scope="module")
def topic_prefix() -> str:
    """A prefix no other module uses."""
    return f"test-{secrets.token_hex(4)}."


@asynccontextmanager
async def topics_under(infrastructure: Infrastructure, prefix: str) -> AsyncIterator[KafkaSettings]:
    """The broker with all topics under a prefix; they are deleted at the end."""
    settings = KafkaSettings(bootstrap_servers=infrastructure.kafka, topic_prefix=prefix)
    topics = load_topics()
    await apply_topics(settings, topics)
    yield settings
    admin = AIOKafkaAdminClient(bootstrap_servers=infrastructure.kafka)
    await admin.start()
    try:
        await admin.delete_topics([settings.topic(topic.name) for topic in topics.broker_topics()])
    finally:
        await admin.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kafka(infrastructure: Infrastructure, topic_prefix: str) -> AsyncIterator[KafkaSettings]:
    """The broker with all topics under this module's prefix."""
    async with topics_under(infrastructure, topic_prefix) as settings:
        yield settings


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sender(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer on the module's broker, as any other program has one."""
    async with producer(kafka, "test") as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def s3_server(tmp_path_factory: pytest.TempPathFactory, stack_settings: LocalSettings) -> AsyncIterator[S3Server]:
    """A real S3 server for the session, with one bucket."""
    async with S3Server(tmp_path_factory.mktemp("s3"), stack_settings) as server:
        yield server
