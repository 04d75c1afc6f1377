"""Kafka clients, every option that matters said here: the defaults lose money."""

from __future__ import annotations

import logging
import ssl
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from tallyport.messaging.unit_of_work import MAX_MESSAGE_BYTES
from tallyport.settings import KafkaSettings

# The broker's own overhead around the largest message, and the headers that a dead letter adds.
_MAX_REQUEST_BYTES = MAX_MESSAGE_BYTES + 2 * 1024 * 1024


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    if not settings.security_protocol.endswith("SSL"):
        return None
    return ssl.create_default_context(cafile=str(settings.ssl_ca_file) if settings.ssl_ca_file else None)


def client_arguments(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """What any aiokafka client needs to connect."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": client_id,
        "security_protocol": settings.security_protocol,
        "ssl_context": _ssl_context(settings),
    }
    if settings.security_protocol.startswith("SASL"):
        arguments |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.password(),
        }
    return arguments


def producer(settings: KafkaSettings, client_id: str, *, linger_ms: int = 0) -> AIOKafkaProducer:
    """A producer that acknowledges only what every in-sync replica holds, and that never writes a record twice."""
    return AIOKafkaProducer(
        **client_arguments(settings, client_id),
        acks="all",
        enable_idempotence=True,
        compression_type=None,
        max_batch_size=1024 * 1024,
        max_request_size=_MAX_REQUEST_BYTES,
        linger_ms=linger_ms,
        request_timeout_ms=30_000,
    )


def admin(settings: KafkaSettings, client_id: str) -> AIOKafkaAdminClient:
    """An administrator's client, for offsets and topics."""
    return AIOKafkaAdminClient(**client_arguments(settings, client_id), request_timeout_ms=15_000)


def _security(settings: KafkaSettings) -> BaseSecurity | None:
    context = _ssl_context(settings)
    if not settings.security_protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=context is not None) if context else None
    kinds = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    return kinds[settings.sasl_mechanism](
        username=settings.sasl_username or "",
        password=settings.password() or "",
        ssl_context=context,
        use_ssl=context is not None,
    )


def consuming_broker(settings: KafkaSettings, client_id: str) -> KafkaBroker:
    """FastStream's broker for consumers only: publishing goes through the outbox."""
    return KafkaBroker(
        [server.strip() for server in settings.bootstrap_servers.split(",")],
        client_id=client_id,
        security=_security(settings),
        consumer_only=True,
        allow_auto_create_topics=False,
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=30_000,
        graceful_timeout=10.0,
        apply_types=False,
        logger=logging.getLogger("tallyport.faststream"),
        log_level=logging.DEBUG,
    )
