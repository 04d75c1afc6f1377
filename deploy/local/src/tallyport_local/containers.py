"""Kafka and PostgreSQL as containers, for tests with ``--containers``. Needs a Docker engine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs

from tallyport_local.kafka.broker import MAX_RECORD_BYTES
from tallyport_local.state import choose_port

KAFKA_IMAGE: Final = "apache/kafka:4.4.0"
POSTGRES_IMAGE: Final = "postgres:18"


@contextmanager
def containers() -> Iterator[tuple[str, str]]:
    """The broker's ``host:port`` and the administrator's DSN; both containers are removed at the end."""
    port = choose_port("kafka", {})
    password = secrets.token_urlsafe(16)
    broker = (
        DockerContainer(KAFKA_IMAGE)
        .with_bind_ports(9092, port)  # the broker must know the address that clients use
        .with_env("KAFKA_NODE_ID", "1")
        .with_env("KAFKA_PROCESS_ROLES", "broker,controller")
        .with_env("KAFKA_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093")
        .with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://127.0.0.1:{port}")
        .with_env("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
        .with_env("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT")
        .with_env("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093")
        .with_env("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1")
        .with_env("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
        .with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        .with_env("KAFKA_MESSAGE_MAX_BYTES", str(MAX_RECORD_BYTES))
        .with_env("KAFKA_REPLICA_FETCH_MAX_BYTES", str(MAX_RECORD_BYTES))
    )
    server = DockerContainer(POSTGRES_IMAGE).with_exposed_ports(5432).with_env("POSTGRES_PASSWORD", password)
    with broker, server:
        wait_for_logs(broker, "Kafka Server started", timeout=60)
        wait_for_logs(server, "ready to accept connections.*ready to accept connections", timeout=60)
        host, mapped = server.get_container_host_ip(), server.get_exposed_port(5432)
        yield f"127.0.0.1:{port}", f"postgresql://postgres:{password}@{host}:{mapped}/postgres"
