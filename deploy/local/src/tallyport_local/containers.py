"""Kafka and PostgreSQL as containers, for tests with ``--containers``. Needs a Docker engine."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from docker.errors import DockerException
from tallyport.testing.waiting import until
from testcontainers.core.container import DockerContainer

from tallyport_local.errors import OperationFailedError
from tallyport_local.kafka import broker as kafka
from tallyport_local.postgres import cluster
from tallyport_local.state import choose_port

KAFKA_IMAGE: Final = "apache/kafka:4.4.0"
POSTGRES_IMAGE: Final = "postgres:18"


START_SECONDS: Final = 60


def kafka_container(port: int) -> DockerContainer:
    """A broker that tells its clients to come to ``port`` of this machine, set up as the embedded one."""
    return (
        DockerContainer(KAFKA_IMAGE)
        .with_bind_ports(9092, port)  # the broker must know the address that clients use
        .with_env("KAFKA_NODE_ID", "1")
        .with_env("KAFKA_PROCESS_ROLES", "broker,controller")
        .with_env("KAFKA_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093")
        .with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://127.0.0.1:{port}")
        .with_env("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
        .with_env("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT")
        .with_env("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093")
        .with_env("KAFKA_LOG_DIRS", "/var/lib/kafka/data")
        .with_env("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1")
        .with_env("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
        .with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        .with_env("KAFKA_MESSAGE_MAX_BYTES", str(kafka.MAX_RECORD_BYTES))
        .with_env("KAFKA_REPLICA_FETCH_MAX_BYTES", str(kafka.MAX_RECORD_BYTES))
    )


def postgres_container(password: str) -> DockerContainer:
    """A PostgreSQL on a port that the engine chooses."""
    return DockerContainer(POSTGRES_IMAGE).with_exposed_ports(5432).with_env("POSTGRES_PASSWORD", password)


@asynccontextmanager
async def containers() -> AsyncIterator[tuple[str, str]]:
    """The broker's ``host:port`` and the administrator's DSN, once both answer; both containers are removed at the end.

    Raises:
        OperationFailedError: when there is no engine, or it neither has the images nor can get them.
    """
    port = choose_port("kafka", {})
    password = secrets.token_urlsafe(16)
    async with AsyncExitStack() as running:
        try:
            broker, server = kafka_container(port), postgres_container(password)
            for container in (broker, server):
                await asyncio.to_thread(container.start)
                running.push_async_callback(asyncio.to_thread, container.stop)
        except DockerException as error:
            raise OperationFailedError(
                f"--containers needs a Docker engine with {KAFKA_IMAGE} and {POSTGRES_IMAGE}: {error}"
            ) from error
        dsn = f"postgresql://postgres:{password}@{server.get_container_host_ip()}:{server.get_exposed_port(5432)}/postgres"
        await until(lambda: kafka.answers(f"127.0.0.1:{port}"), seconds=START_SECONDS, what=KAFKA_IMAGE)
        await until(lambda: cluster.answers(dsn, password), seconds=START_SECONDS, what=POSTGRES_IMAGE)
        yield f"127.0.0.1:{port}", dsn
