"""What the collector counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class CollectorMetrics:
    """The collector's Prometheus metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.samples = Counter("tallyport_collected_samples", "Samples read and spooled", ["source"], registry=registry)
        self.runs = Counter("tallyport_collection_runs", "Finished runs", ["source", "state"], registry=registry)
        self.published = Counter("tallyport_spool_published", "Messages the broker has acknowledged", registry=registry)
        self.spool_records = Gauge("tallyport_spool_records", "Messages waiting for the broker", registry=registry)
        self.spool_bytes = Gauge("tallyport_spool_bytes", "Bytes waiting for the broker", registry=registry)
        self.spool_age = Gauge("tallyport_spool_oldest_seconds", "Age of the oldest waiting message", registry=registry)
