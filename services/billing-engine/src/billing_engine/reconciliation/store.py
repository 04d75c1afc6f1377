"""What is compared, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from tallyport.contracts.billing import LINE_COLUMNS
from tallyport.postgres.queries import load_queries

from billing_engine.reconciliation.model import Acknowledgement, Finding, FindingKind, Thresholds

_QUERIES: Final = load_queries("billing_engine.reconciliation")
_PLACES: Final = tuple(LINE_COLUMNS.index(name) for name in ("customer_id", "currency", "total"))

Connection = Any  # an asyncpg connection, from a pool or not


async def usage_of_unknown(connection: Connection, limit: int) -> list[Finding]:
    """Samples of objects that nobody has told of."""
    return [
        Finding(
            FindingKind.USAGE_OF_UNKNOWN,
            (row["object_id"],),
            f"samples of {row['object_id']!r} ({row['samples']}), which is not in the directory",
            {name: row[name] for name in ("samples", "first_day", "last_day")},
        )
        for row in await connection.fetch(_QUERIES["unknown_objects"], limit)
    ]


async def usage_of_removed(connection: Connection, usage_day: date, limit: int) -> list[Finding]:
    """Samples of objects that were removed before the day."""
    return [
        Finding(
            FindingKind.USAGE_OF_REMOVED,
            (row["customer"], row["object_id"]),
            f"samples of {row['object_id']!r} of {row['customer']} ({row['samples']}), removed {row['removed_at']:%F}",
            {"customer": row["customer"], "samples": row["samples"], "removed_at": row["removed_at"]},
        )
        for row in await connection.fetch(_QUERIES["usage_of_removed"], usage_day, limit)
    ]


async def without_usage(connection: Connection, usage_day: date, thresholds: Thresholds) -> list[Finding]:
    """Subscriptions that are billed by usage and have had none for some days."""
    since = usage_day - timedelta(days=thresholds.quiet_days - 1)
    return [
        Finding(
            FindingKind.NO_USAGE,
            (row["customer"], row["object_id"]),
            f"{row['object_id']!r} of {row['customer']} ({row['service']}) has had no usage since {since} or longer",
            {"customer": row["customer"], "service": row["service"], "unchanged_since": row["changed_at"]},
        )
        for row in await connection.fetch(_QUERIES["subscriptions_without_usage"], since, thresholds.limit)
    ]


async def below_use(connection: Connection, limit: int) -> list[Finding]:
    """Plans of which a customer uses more than it was given."""
    return [
        Finding(
            FindingKind.BELOW_USE,
            (row["customer"], row["service"], row["plan"]),
            f"{row['customer']} has {row['allocated']} of {row['plan']} ({row['service']}) and uses {row['used']}",
            dict(row.items()),
        )
        for row in await connection.fetch(_QUERIES["allocations_below_use"], limit)
    ]


async def moved(connection: Connection, batch_date: date, thresholds: Thresholds) -> list[Finding]:
    """Customers whose total moved between this batch and the one before; none without both."""
    pair = {row["batch_date"]: row for row in await connection.fetch(_QUERIES["two_batches"], batch_date)}
    after = pair.pop(batch_date, None)
    if after is None or not pair:
        return []
    before = pair[max(pair)]
    rows = await connection.fetch(
        _QUERIES["totals_that_moved"],
        *before,
        *after,
        Decimal(thresholds.moved_percent),
        Decimal(thresholds.moved_amount),
        *_PLACES,
        thresholds.limit,
    )
    return [
        Finding(
            FindingKind.TOTAL_MOVED,
            (row["customer"], row["currency"], str(batch_date)),
            f"{row['customer']} pays {row['after']} {row['currency']}, {row['before']} on {before['batch_date']}",
            dict(row.items()) | {"compared_with": before["batch_date"]},
        )
        for row in rows
    ]


async def acknowledged(connection: Connection, day: date, ids: Sequence[str]) -> dict[str, Acknowledgement]:
    """What was said about these findings and still counts."""
    rows = await connection.fetch(_QUERIES["acknowledged"], day, list(ids))
    return {
        row["finding_id"]: Acknowledgement(row["acknowledged_by"], row["acknowledged_at"], row["reason"], row["until"])
        for row in rows
    }


async def acknowledge(connection: Connection, finding_id: str, said: Acknowledgement) -> None:
    """Note that somebody has looked at a finding."""
    await connection.execute(_QUERIES["acknowledge"], finding_id, said.at, said.by, said.reason, said.until)
