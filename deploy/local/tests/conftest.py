"""A whole stack of one test module, started by the command line on servers that run already."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import commands
import pytest
import pytest_asyncio
from operating import Operated
from tallyport_local.postgres.databases import roles_of
from tallyport_local.recovery import remove_data
from tallyport_local.state import DataFolder
from tallyport_local.testing import DATABASES, Infrastructure, topics_under


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """A shell's background job ignores Ctrl-C, and so would every command that the tests start from it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _with_password(infrastructure: Infrastructure) -> str:
    """The administrator's DSN as an operator writes it."""
    parts = urlsplit(infrastructure.admin_dsn)
    if parts.password or infrastructure.admin_password is None:
        return infrastructure.admin_dsn
    place = f"{parts.username}:{infrastructure.admin_password}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=place))


async def _databases(infrastructure: Infrastructure, statement: str) -> int:
    connection = await infrastructure.admin()
    try:
        for name in DATABASES if statement else ():
            await connection.execute(statement.format(name))
        query = "SELECT count(*) FROM pg_database WHERE datname = ANY ($1)"
        found: int = await connection.fetchval(query, list(DATABASES))
        return found
    finally:
        await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def operated(infrastructure: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operated]:
    """Brought up by ``tallyport up --detach`` with every server named by the environment."""
    if await _databases(infrastructure, ""):
        pytest.skip("this PostgreSQL holds an installation; it is left alone")
    root = tmp_path_factory.mktemp("operated")
    folder = DataFolder(root / "stack")
    folder.create()
    for role in roles_of(DATABASES):  # roles are the server's: other tests use them too, with these passwords
        (folder.secrets / role).write_text(infrastructure.password(role), encoding="utf-8")
    bucket = root / "bucket"
    bucket.mkdir()
    async with topics_under(infrastructure, f"operated-{secrets.token_hex(4)}.") as kafka:
        env = {
            "TALLYPORT_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "TALLYPORT_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "TALLYPORT_POSTGRES_ADMIN_DSN": _with_password(infrastructure),
            "TALLYPORT_OBJECT_STORE__URL": os.environ.get("TALLYPORT_TEST_S3_URL", bucket.as_uri()),
            # nothing is fetched for servers that are not started
            "TALLYPORT_CACHE": str(root / "cache"),
            "TALLYPORT_MAVEN_URL": "http://127.0.0.1:9",
        }
        if options := os.environ.get("TALLYPORT_TEST_S3_OPTIONS_FILE"):
            env["TALLYPORT_OBJECT_STORE__OPTIONS_FILE"] = options
        try:
            commands.tallyport(folder, "up", "--detach", env=env)
            yield Operated(folder, env, infrastructure, root)
        finally:
            remove_data(folder)
            await _databases(infrastructure, 'DROP DATABASE IF EXISTS "{}" WITH (FORCE)')
