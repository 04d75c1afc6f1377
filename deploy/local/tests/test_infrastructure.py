"""The fixtures every other test stands on."""

from __future__ import annotations

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from tallyport.settings import KafkaSettings
from tallyport_local.postgres.databases import COLLECTOR_ROLE, create_database
from tallyport_local.testing import Infrastructure
from tallyport_local.topics import apply_topics, load_topics


async def test_topics_are_made_once_and_carry_records(kafka: KafkaSettings) -> None:
    assert await apply_topics(kafka, load_topics()) == 0
    topic = kafka.topic("collection.runs")
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait(topic, b"value", key=b"key")
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        record = await consumer.getone()
    assert (record.key, record.value) == (b"key", b"value")


async def test_a_database_lets_in_its_own_two_roles_only(infrastructure: Infrastructure) -> None:
    admin = await infrastructure.admin()
    try:
        await create_database(admin, "only_ours", service_database="notifier")
        for role in ("notifier", "notifier_owner"):
            dsn = f"postgresql://{role}@{infrastructure.server}/only_ours"
            connection = await asyncpg.connect(dsn, password=infrastructure.password(role))
            assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
            await connection.close()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(
                f"postgresql://billing_engine@{infrastructure.server}/only_ours",
                password=infrastructure.password("billing_engine"),
            )
    finally:
        await admin.execute("DROP DATABASE only_ours WITH (FORCE)")
        await admin.close()


async def test_the_collector_role_reads_the_sizes_of_all_databases(infrastructure: Infrastructure) -> None:
    connection = await asyncpg.connect(
        f"postgresql://{COLLECTOR_ROLE}@{infrastructure.server}/postgres",
        password=infrastructure.password(COLLECTOR_ROLE),
    )
    try:
        sizes = await connection.fetch("SELECT datname, pg_database_size(oid) AS size FROM pg_database")
        assert all(row["size"] > 0 for row in sizes)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE DATABASE no_right")
    finally:
        await connection.close()


async def test_a_wrong_password_is_refused(infrastructure: Infrastructure) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://notifier@{infrastructure.server}/postgres", password="guess")  # noqa: S106
