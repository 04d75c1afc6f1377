"""The root with every command: importing a command module registers its commands."""

from __future__ import annotations

from tallyport_local.cli import (
    adjustments,
    audit,
    billing_view,
    catalog,
    collect,
    demo,
    events,
    explain,
    gate,
    gate_check,
    gate_settings,
    imports,
    lifecycle,
    prices,
    reconcile,
    reports,
    schedules,
    schema,
    topics,
    transfers,
    webhooks,
)
from tallyport_local.cli.root import app

__all__ = [
    "adjustments", "app", "audit", "billing_view", "catalog", "collect", "demo", "events", "explain", "gate",
    "gate_check", "gate_settings", "imports", "lifecycle", "prices", "reconcile", "reports", "schedules", "schema",
    "topics", "transfers", "webhooks",
]  # fmt: skip
