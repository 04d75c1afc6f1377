"""From a directory, a catalogue and usage to the frozen lines of a batch."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from engine_bench import Bench

TODAY = datetime.now(UTC).date()
USAGE_DAY = TODAY - timedelta(days=1)
NOON = datetime.combine(USAGE_DAY, time(12), UTC)

CATALOG: dict[str, Any] = {
    "services": [
        {
            "id": "HE",
            "name": "Hosted Exchange",
            "counters": [{"name": "DiskUsageMB", "unit": "MB", "aggregation": "last"}],
            "plans": [
                {"id": "HE-STD", "type": "customer_plan", "name": "Standard", "currency": "EUR",
                 "properties": {"sales_price": "10.00", "cost_price": "6.00", "stock_code": "HE-STD"}},
                {"id": "HE-GOLD", "type": "user_plan", "name": "Gold", "currency": "EUR",
                 "properties": {"sales_price": "4.50", "stock_code": "HE-G", "price_per_mb": "0.0015"}},
                {"id": "HE-FREE", "type": "user_plan", "name": "Free", "currency": "EUR"},
            ],
            "billing_units": [
                {"id": "he-instance", "plan_type": "customer_plan", "unit": "instance", "unit_code": "HE"},
                {"id": "he-mb", "plan_type": "user_plan", "unit": "user", "quantity": {"counter": "DiskUsageMB"},
                 "price": "price_per_mb", "unit_code": "HE-MB"},
                {"id": "he-user", "plan_type": "user_plan", "unit": "user"},
            ],
            "overrides": [
                {"plan": "HE-GOLD", "organisation": "var", "properties": {"sales_price": "4.00"}},
                {"plan": "HE-GOLD", "location": "eu-west", "properties": {"sales_price": "4.20"}},
            ],
        }
    ]
}  # fmt: skip


def _subscription(name: str, plan: str, status: str = "Provisioned") -> dict[str, Any]:
    user = {"upn": f"{name}@acme.example", "name": name.title()}
    return {
        "kind": "subscription",
        "id": f"sub-{name}",
        "instance": "acme-he",
        "plan": plan,
        "status": status,
        "user": user,
    }


async def test_a_batch_has_a_line_for_each_unit_and_object(bench: Bench) -> None:
    # Children first: the stream promises no order between entities.
    await bench.directory(
        _subscription("ann", "HE-GOLD"),
        _subscription("bob", "HE-GOLD", "NotProvisioned"),
        _subscription("cyd", "HE-FREE", "Failed"),
        {"kind": "service_instance", "id": "acme-he", "customer": "acme", "service": "HE", "plan": "HE-STD",
         "status": "Pending"},
        {"kind": "organisation", "id": "acme", "type": "customer", "parent": "var", "name": 'Acme "&" Söhne\n',
         "location": "eu-west"},
        {"kind": "organisation", "id": "var", "type": "value_added_reseller", "parent": "sp", "name": "North"},
        {"kind": "organisation", "id": "sp", "type": "service_provider", "name": "Provider", "currency": "EUR"},
    )  # fmt: skip
    await bench.catalog(CATALOG)
    await bench.usage("DiskUsageMB", USAGE_DAY, {"sub-ann": "1000", "sub-nobody": "7"}, measured_at=NOON)
    await bench.usage("DiskUsageMB", USAGE_DAY, {"sub-ann": "2333.5"}, measured_at=NOON + timedelta(hours=1))
    await bench.caught_up()
    lines = await bench.transfer()

    def figures(line: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(line[name] for name in ("unit", "object_id", "quantity", "sales_price", "total", "flags"))

    assert [figures(line) for line in lines] == [
        ("he-instance", "acme-he", "1", "10.00", "10.00", ""),
        ("he-mb", "sub-ann", "2333.5", "0.0015", "3.50", ""),
        ("he-mb", "sub-bob", "0", "0.0015", "0.00", "no_data"),
        ("he-mb", "sub-cyd", "0", None, "0.00", "no_data no_price"),
        ("he-user", "sub-ann", "1", "4.00", "4.00", ""),
        ("he-user", "sub-bob", "0", "4.00", "0.00", ""),
        ("he-user", "sub-cyd", "1", None, "0.00", "no_price"),
    ]
    assert lines[0]["description"] == 'Acme "&" Söhne\n'
    assert lines[4]["description"] == "Ann"
    assert lines[4]["price_source"] == "organisation:var"
    assert lines[1]["quantity_source"] == f"counter:DiskUsageMB:{USAGE_DAY}"
    assert {line["currency"] for line in lines} == {"EUR"}
    assert [row["object_id"] for row in await bench.fetch("SELECT object_id FROM parked_sample")] == ["sub-nobody"]
