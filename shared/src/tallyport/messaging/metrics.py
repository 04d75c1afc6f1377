"""What the messaging core counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class MessagingMetrics:
    """Prometheus instruments of one service, in the registry it was given. Labels: ``topic``, ``group``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("topic", "group")
        self.consumed = Counter("tallyport_records_consumed", "Records read from Kafka", labels, registry=registry)
        self.applied = Counter(
            "tallyport_events_applied", "Events whose effect was committed", labels, registry=registry
        )
        self.duplicate = Counter("tallyport_events_duplicate", "Events dropped as known", labels, registry=registry)
        self.conflict = Counter(
            "tallyport_events_conflict", "Events with a known id and another payload", labels, registry=registry
        )
        self.dead = Counter("tallyport_records_dead", "Records sent to the dead letters", labels, registry=registry)
        self.parked = Counter("tallyport_samples_parked", "Samples that wait for their object", registry=registry)
        self.retries = Counter("tallyport_polls_retried", "Polls that had to be tried again", labels, registry=registry)
        self.seconds = Histogram("tallyport_poll_seconds", "Seconds to apply one poll", labels, registry=registry)
        self.lag = Gauge("tallyport_consumer_lag", "Records not yet committed", labels, registry=registry)
        self.outbox_depth = Gauge("tallyport_outbox_depth", "Messages waiting to be published", registry=registry)
        self.outbox_age = Gauge(
            "tallyport_outbox_oldest_seconds", "Age of the oldest waiting message", registry=registry
        )
        self.published = Counter("tallyport_messages_published", "Messages the relay published", registry=registry)
