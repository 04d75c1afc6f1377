"""A provider with two resellers whose customers have bundles, over three days, and what is said of licences."""

from __future__ import annotations

from datetime import date
from typing import Any

FIRST, SECOND, THIRD = date(2027, 4, 1), date(2027, 4, 2), date(2027, 4, 4)
TREE = [
    ("root", None, "service_provider"), ("v1", "root", "virtual_service_provider"),
    ("r2", "v1", "value_added_reseller"), ("c", "v1", "customer"), ("d", "r2", "customer"), ("e", "root", "customer"),
]  # fmt: skip
TAKEN = {FIRST: {"c": (10, 4), "d": (20, 5), "e": (1, 1)}, SECOND: {"c": (30, 9), "d": (20, 5), "e": (1, 1)},
         THIRD: {"c": (12, 6), "d": (20, 8), "e": (1, 0)}}  # fmt: skip
"""By date and customer, what was allocated of the plan UC-ADV, and what is used of it."""

LICENCES = [
    {"id": "uc-adv", "name": "Advanced <user>", "family": "telephony", "order": 1, "core": True,
     "rule": {"count": "allocations", "service": "TEL", "plans": "UC-*"}},
    {"id": "uc-given", "name": "Given", "family": "telephony", "order": 2,
     "rule": {"count": "allocations", "service": "TEL", "plans": "UC-ADV", "of": "allocated"}},
    {"id": "users", "name": "Users", "family": "other", "rule": {"count": "users", "service": "TEL"}},
    {"id": "lines", "name": "Lines", "family": "other", "order": 3,
     "rule": {"count": "lines", "service": "TEL", "unit": "tel-user", "status": ["Pending"]}},
    {"id": "agents", "name": "Agents", "family": "contact_centre"},
]  # fmt: skip


def organisations() -> list[list[str | None]]:
    return [[key, parent, kind, f"Name <{key}>", f"B-{key}", None, "en", "EUR"] for key, parent, kind in TREE]


async def load(warehouse: Any, make_batch: Any, make_line: Any) -> None:
    """Three batches; April 3 has none."""
    previous = None
    for day, taken in TAKEN.items():
        batch = make_batch(day, previous=previous)
        batch.chunk("organisations", organisations())
        batch.chunk(
            "allocations",
            [[key, "TEL", "UC-ADV", "Advanced", str(given), str(used)] for key, (given, used) in taken.items()]
            + [["c", "HE", "HE-GOLD", "Gold", "7", None], ["r2", "TEL", "UC_ADX", "Other", "3", "3"]],
        )
        telephony = {"service": "TEL", "unit": "tel-user", "plan": "UC-ADV"}
        batch.chunk(
            "lines",
            [
                make_line(customer_id="c", object_id="o1", **telephony),
                make_line(customer_id="c", object_id="o1", plan_type="application", **telephony),
                make_line(customer_id="c", object_id="o2", quantity_source="status:NotProvisioned", **telephony),
                make_line(customer_id="d", object_id="o3", quantity_source="status:Pending", **telephony),
                make_line(customer_id="e", object_id="o4", kind="correction", corrects="2027-03-01", **telephony),
            ],
        )
        await warehouse.keep(batch)
        previous = batch
