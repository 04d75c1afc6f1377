"""``usage.samples`` as the engine reads it."""

from __future__ import annotations

from tallyport.messaging.dispatch import Subscription

from billing_engine.usage.service import UsageService


def usage_subscription(service: UsageService) -> Subscription:
    """One lane of ingest. Large polls: the cost of a transaction is shared by all the samples in it."""
    return Subscription(
        topic="usage.samples",
        group="billing-engine.usage",
        process=service,
        max_records=5000,
        fetch_max_bytes=4 * 1024 * 1024,
    )
