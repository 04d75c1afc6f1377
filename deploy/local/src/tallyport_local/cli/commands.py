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
    gate_settings,
    imports,
    lifecycle,
    prices,
    reconcile,
    reports,
    schema,
    topics,
    transfers,
)
from tallyport_local.cli.root import app

__all__ = [
    "adjustments", "app", "audit", "billing_view", "catalog", "collect", "demo", "events", "explain", "gate",
    "gate_settings", "imports", "lifecycle", "prices", "reconcile", "reports", "schema", "topics", "transfers",
]  # fmt: skip
