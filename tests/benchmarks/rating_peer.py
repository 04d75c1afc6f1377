"""CloudKitty's HashMap on points of its own kind; run by the Python of an environment that has CloudKitty.

Argument: how many points. Prices stand in a field mapping of twenty flavours; from 10 and from 100 pieces on a rate
counts. Prints the seconds of ``process`` and the sum of all prices.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from decimal import Decimal

from cloudkitty import dataframe  # type: ignore[import-not-found]
from cloudkitty.rating.hash import HashMap  # type: ignore[import-not-found]


class Rules(HashMap):  # type: ignore[misc]
    """The rules as CloudKitty holds them once they are read from its database."""

    def __init__(self) -> None:
        self._res = {}
        thresholds = {
            Decimal(10): {"type": "rate", "cost": Decimal("0.9")},
            Decimal(100): {"type": "rate", "cost": Decimal("0.8")},
        }
        prices = {f"plan-{n}": {"type": "flat", "cost": (n + 1) * Decimal("0.1")} for n in range(20)}
        self._entries = {
            "instance": {
                "mappings": {},
                "thresholds": {"_DEFAULT_": thresholds},
                "fields": {"flavor": {"mappings": {"_DEFAULT_": prices}, "thresholds": {}}},
            }
        }


def main(points: int) -> None:
    """Rate so many points."""
    found = [dataframe.DataPoint("piece", Decimal(n % 250), 0, {}, {"flavor": f"plan-{n % 20}"}) for n in range(points)]
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    frame = dataframe.DataFrame(begin, end, {"instance": found})
    rules = Rules()
    started = time.perf_counter()
    rated = rules.process(frame)
    seconds = time.perf_counter() - started
    print(seconds, sum(point.price for _, point in rated.iterpoints()))


if __name__ == "__main__":
    main(int(sys.argv[1]))
