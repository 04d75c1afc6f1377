"""A whole batch with every rule that units and prices have, line by line against the slow model."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest_asyncio
import yaml
from aiokafka import AIOKafkaProducer
from bill import EXAMPLES, Bill, read_line
from billing_engine.app import Engine
from billing_engine.settings import EngineSettings
from engine_bench import Bench
from prometheus_client import CollectorRegistry
from tallyport.settings import KafkaSettings
from tallyport_local.testing import Connect

DAY = datetime.now(UTC).date() - timedelta(days=1)
NOON = datetime.combine(DAY, time(12), UTC)
BY_MB = {"plan_type": "user_plan", "unit": "user", "quantity": {"counter": "DiskUsageMB"}, "price": "price_per_mb"}
TIERS = [{"up_to_inclusive": "800", "price": "price_per_mb"}, {"up_to_inclusive": "2000", "price": "0.0011"},
         {"price": "0.0007"}]  # fmt: skip
UNITS: list[dict[str, Any]] = [
    {"id": "he-instance", "plan_type": "customer_plan", "unit": "instance",
     "price_model": {"model": "flat", "minimum": "9.5"},
     "description": "{service_name} of {customer_name} ({site_name})"},
    {"id": "he-user", "plan_type": "user_plan", "unit": "user", "description": "{user_name}: {plan_name} {stock_code}"},
    {"id": "he-resting", "plan_type": "user_plan", "unit": "user", "active": False},
    BY_MB | {"id": "he-gb", "convert": {"from": "MB", "to": "GiB"}, "price": "sales_price"},
    BY_MB | {"id": "he-included", "price_model": {"model": "included", "included": "500.5", "maximum": "4"}},
    BY_MB | {"id": "he-storage", "price_model": {"model": "included", "included": "allowed"}},
    BY_MB | {"id": "he-graduated", "price_model": {"model": "graduated", "tiers": TIERS, "minimum": "0.75"}},
    BY_MB | {"id": "he-volume", "price_model": {"model": "volume", "tiers": TIERS}},
    BY_MB | {"id": "he-package", "price_model": {"model": "package", "size": "250"}},
]  # fmt: skip
RULES: list[dict[str, Any]] = [
    {"id": "over", "reason": "over", "user": "*", "valid_to": str(DAY - timedelta(days=1))},
    {"id": "a", "reason": "staff", "organisation": "var-north", "user": "a*", "valid_from": str(DAY)},
    {"id": "pending", "reason": "not-ready", "service": "VOICE", "status": "Pending"},
    {
        "id": "silver",
        "reason": "promotion",
        "organisation": "vsp-albion",
        "plan": "HE-SILVER-GBP",
        "valid_to": str(DAY),
    },
]


def _catalog() -> dict[str, Any]:
    catalog: dict[str, Any] = copy.deepcopy(yaml.safe_load((EXAMPLES / "catalog.yaml").read_text(encoding="utf-8")))
    exchange = catalog["services"][0]
    exchange["billing_units"] = UNITS
    for plan, allowed in (("HE-GOLD", "900"), ("HE-SILVER", "Unlimited"), ("HE-GOLD-USD", "0")):
        next(one for one in exchange["plans"] if one["id"] == plan)["properties"]["allowed"] = allowed
    return catalog | {"non_billable": RULES}


def _measured(subscriptions: list[dict[str, Any]]) -> dict[str, str]:
    """Made of the ids, so that they are the same every time; some users are not measured, some at a tier's bound."""
    found = {}
    for one in subscriptions:
        drawn = int(hashlib.sha256(one["id"].encode()).hexdigest()[:8], 16)
        if drawn % 10:
            found[one["id"]] = (
                ("0", "800", "2000", "250")[drawn % 4] if drawn % 7 == 0 else str(Decimal(drawn % 400000) / 100)
            )
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bench(connect: Connect, kafka: KafkaSettings, sender: AIOKafkaProducer) -> AsyncIterator[Bench]:
    made, pool = await connect("billing_engine")
    engine = Engine(EngineSettings.model_construct(kafka=kafka, database=made.runtime), pool, CollectorRegistry())
    async with engine.running():
        yield Bench(engine, pool, kafka, sender)


async def test_every_line_is_what_the_model_says(bench: Bench) -> None:
    entities = [json.loads(line) for line in (EXAMPLES / "directory.jsonl").read_text(encoding="utf-8").splitlines()]
    await bench.directory(*entities)
    await bench.caught_up()
    catalog = _catalog()
    await bench.catalog(catalog)
    measured = _measured([one for one in entities if one["kind"] == "subscription"])
    names = sorted(measured)
    for at in range(0, len(names), 1000):
        some = {name: measured[name] for name in names[at : at + 1000]}
        await bench.usage("DiskUsageMB", DAY, some, measured_at=NOON)
    await bench.caught_up()
    usage = {("DiskUsageMB", name): value for name, value in measured.items()}
    expected = Bill(catalog=catalog, usage=usage, day=DAY).all_lines()
    lines = {(line["object_id"], line["unit"]): line for line in await bench.transfer()}
    assert lines.keys() == expected.keys()
    found = {key: read_line(line) for key, line in lines.items()}
    assert [(found[key], expected[key]) for key in expected if found[key] != expected[key]] == []
    seen = {flag for line in found.values() for flag in line.flags.split()}
    assert seen >= {"no_data", "no_price", "unlimited", "minimum", "maximum", "reason:staff", "reason:promotion"}
