"""The sizes of a real server's databases."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from collector_bench import NOW, Bench
from tallyport.contracts.usage import UsageChunk
from tallyport_local.postgres.databases import COLLECTOR_ROLE
from tallyport_local.testing import Infrastructure
from usage_collector.sources.model import PostgresSource
from usage_collector.sources.postgres_sizes import ServerAwayError, megabytes, read_sizes


@pytest.fixture
def server(infrastructure: Infrastructure, tmp_path: Path) -> PostgresSource:
    """The session's server, seen by the role that may only look."""
    password = tmp_path / "password"
    password.write_text(infrastructure.password(COLLECTOR_ROLE), encoding="utf-8")
    dsn = f"postgresql://{COLLECTOR_ROLE}@{infrastructure.server}/postgres"
    return PostgresSource(name="databases", kind="postgres", dsn=dsn, password_file=password, every_seconds=3600)


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(0, "0.000000"), (1048576, "1.000000"), (1, "0.000001"), (7_700_000, "7.343292"), (2**50, "1073741824.000000")],
)
def test_a_megabyte_is_1048576_bytes(size_bytes: int, said: str) -> None:
    assert megabytes(size_bytes) == Decimal(said)
    assert str(megabytes(size_bytes)) == said


async def test_every_database_is_measured(server: PostgresSource, infrastructure: Infrastructure) -> None:
    connection = await infrastructure.admin()
    try:
        await connection.execute('CREATE DATABASE "to be measured"')
        sizes = await read_sizes(server)
        size_bytes = await connection.fetchval("SELECT pg_database_size('to be measured')")
        templates = await connection.fetch("SELECT datname FROM pg_database WHERE datistemplate")
    finally:
        await connection.execute('DROP DATABASE IF EXISTS "to be measured" WITH (FORCE)')
        await connection.close()
    found = dict(zip(sizes.object_ids, sizes.values, strict=True))
    assert found["db:to be measured"] == megabytes(size_bytes)
    assert found["db:postgres"] > 0
    assert not {f"db:{row['datname']}" for row in templates} & set(found)
    assert sizes.failures == []


async def test_a_reading_is_spooled_with_its_run(server: PostgresSource, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "collector", more=[server])
    await bench.service.collector.workers["databases"].step()
    (chunk,) = [UsageChunk.read(one.value or b"") for one in bench.spooled()]
    assert (chunk.counter, chunk.measured_at, chunk.day) == ("DatabaseSizeMB", NOW, NOW.date())
    (run,) = bench.runs()
    assert (run["state"], run["samples"]) == ("succeeded", len(chunk.values))
    assert len(bench.spooled("collection.runs")) == 1
    bench.database.close()


async def test_a_server_that_is_away_fails_the_run_and_is_tried_again(server: PostgresSource, tmp_path: Path) -> None:
    away = server.model_copy(update={"dsn": "postgresql://nobody@127.0.0.1:1/postgres"})
    with pytest.raises(ServerAwayError):
        await read_sizes(away)
    bench = Bench(tmp_path / "collector", more=[away])
    worker = bench.service.collector.workers["databases"]
    assert await worker.step() == 3600
    (run,) = bench.runs()
    assert run["state"] == "failed"
    assert "Connect" in run["failures"][0]["reason"]
    bench.database.close()


async def test_a_wrong_password_is_a_reason(server: PostgresSource, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong", encoding="utf-8")
    with pytest.raises(ServerAwayError, match="password"):
        await read_sizes(server.model_copy(update={"password_file": wrong}))
