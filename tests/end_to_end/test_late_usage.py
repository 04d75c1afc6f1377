"""Late usage and adjustments all the way: from Kafka to the warehouse, its levels, its proof, and a report's sums."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from billing_engine.app import Engine
from billing_engine.settings import EngineSettings
from billing_engine.transfers.explanations.service import UnknownLineError, explain
from engine_bench import Bench
from prometheus_client import CollectorRegistry
from report_builder.app import ReportBuilder
from report_builder.reports.model import Asker
from report_builder.settings import ObjectStoreSettings, ReportBuilderSettings
from report_builder.warehouse import service as warehouse
from report_builder.warehouse.reading import level_sums
from tallyport.contracts.reports import ReportRequest
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until
from tallyport_local.testing import Connect

TODAY = datetime.now(UTC).date()
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "L", "name": "Late", "counters": [{"name": "MB", "unit": "MB", "aggregation": "last"}],
        "plans": [{"id": "L-U", "type": "user_plan", "name": "Seat", "currency": "EUR",
                   "properties": {"sales_price": "0.5", "cost_price": "0.1"}}],
        "billing_units": [{"id": "mb", "plan_type": "user_plan", "unit": "user", "quantity": {"counter": "MB"}}],
        "overrides": [{"plan": "L-U", "organisation": "acme", "properties": {"sales_price": "0.7"}}],
    }],
}  # fmt: skip


@dataclass
class Suite:
    """The engine and the report builder, with a broker between them."""

    bench: Bench
    builder: ReportBuilder
    warehouse: asyncpg.Pool[asyncpg.Record]

    async def green(self, day: date) -> None:
        """A batch that the warehouse has confirmed."""
        await self.bench.transfer(day)

        async def confirmed() -> bool:
            rows = await self.bench.fetch(
                "SELECT state, reason FROM transfer WHERE batch_date = $1 ORDER BY revision DESC", day
            )
            assert rows[0]["state"] != "failed", rows[0]["reason"]
            return bool(rows[0]["state"] == "done")

        await until(confirmed)

    async def report(self, day: date) -> list[dict[str, str]]:
        """The rows of a customer detail."""
        request = ReportRequest(report_id=f"late-{day}", format="csv", from_date=day, to_date=day)
        async with self.builder.messaging.unit_of_work() as uow:
            await self.builder.reports.request(uow, request, asked_at=datetime.now(UTC), asker=Asker("test"))

        async def ready() -> bool:
            report = await self.builder.reports.get(request.report_id)
            assert report.state != "failed", report.reason
            return report.state == "ready"

        await until(ready, seconds=60)
        (part,) = (await self.builder.reports.get(request.report_id)).parts
        text = Path(unquote(urlsplit(part.uri).path)).read_text(encoding="utf-8-sig")  # noqa: ASYNC240 - a small file
        return list(csv.DictReader(io.StringIO(text)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def suite(
    connect: Connect, kafka: KafkaSettings, sender: AIOKafkaProducer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Suite]:
    made, pool = await connect("billing_engine")
    engine = Engine(EngineSettings.model_construct(kafka=kafka, database=made.runtime), pool, CollectorRegistry())
    house, house_pool = await connect("report_builder")
    objects = ObjectStoreSettings(url=tmp_path_factory.mktemp("objects").as_uri())
    settings = ReportBuilderSettings.model_construct(kafka=kafka, database=house.runtime, object_store=objects)
    builder = ReportBuilder(settings, house_pool, CollectorRegistry())
    async with engine.running(), builder.running():
        yield Suite(Bench(engine, pool, kafka, sender), builder, house_pool)


async def test_the_next_batch_and_its_report_make_up_for_what_came_late(suite: Suite) -> None:
    bench, day = suite.bench, TODAY - timedelta(days=1)
    await bench.directory(
        {"kind": "organisation", "id": "top", "type": "service_provider", "name": "Top", "currency": "EUR"},
        {"kind": "organisation", "id": "shop", "type": "value_added_reseller", "parent": "top", "name": "Shop"},
        {"kind": "organisation", "id": "acme", "type": "customer", "parent": "shop", "name": 'Acme "& Sons"'},
        {"kind": "service_instance", "id": "acme-l", "customer": "acme", "service": "L", "status": "Provisioned"},
        {"kind": "subscription", "id": "ann", "instance": "acme-l", "plan": "L-U", "status": "Provisioned",
         "user": {"upn": "ann", "name": 'Änn "\\"\t'}},
    )  # fmt: skip
    await bench.catalog(CATALOG)
    await bench.caught_up()
    noon = datetime.combine(day - timedelta(days=1), time(12), UTC)
    await bench.usage("MB", noon.date(), {"ann": "10"}, measured_at=noon)
    await bench.caught_up()
    await suite.green(day)
    await bench.usage("MB", noon.date(), {"ann": "13"}, measured_at=noon)
    await bench.usage("MB", day, {"ann": "2"}, measured_at=noon + timedelta(days=1))
    await bench.caught_up()
    await bench.engine.adjustments.create(
        customer="acme", amount=Decimal("-0.5"), currency="EUR", description="Outage", reason="goodwill", service=None,
        reference=None, author="ann",
    )  # fmt: skip
    await suite.green(TODAY)

    async with bench.pool.acquire() as engine:
        line, correction = await explain(engine, TODAY, "acme", "mb", "ann")
        (adjustment,) = await explain(engine, TODAY, "acme", "adjustment", "adjustment-1")
        with pytest.raises(UnknownLineError, match="has no line of customer 'acme', unit 'mb' and object 'bob'"):
            await explain(engine, TODAY, "acme", "mb", "bob")
    assert (line["schema"]["version"], line["schema"]["unit"]["id"]) == (1, "mb")
    assert line["price"] == {"property": "sales_price", "source": "organisation:acme", "value": "0.7"}
    assert [(one["value"], one["source"], one["late_since"]) for one in line["quantity"]["samples"]] == [
        ("2", "/test", None)
    ]
    assert [one["value"] for one in correction["quantity"]["samples"]] == ["13"]
    assert correction["quantity"]["samples"][0]["late_since"] is not None
    assert [(one["batch_date"], one["line"]["quantity"]) for one in correction["corrects"]] == [(day, "10")]
    assert (adjustment["adjustment"]["author"], adjustment["adjustment"]["state"]) == ("ann", "billed")

    async with suite.warehouse.acquire() as connection:
        session: Any = connection
        proof = await warehouse.verify(session, (TODAY, 1))
        (shop,) = await level_sums(session, (TODAY, 1), "shop", viewer="shop")
        (top,) = await level_sums(session, (TODAY, 1), "top", viewer="top")
    assert proof.ok, proof.first_difference
    # 2 MB today and 3 MB late: 0.70 a piece to the customer, 0.50 to the reseller, 0.10 to the provider; less 0.50.
    assert (shop.sales, shop.cost, shop.unknown) == (Decimal("3.00"), Decimal("2.00"), 0)
    assert (top.sales, top.cost, top.unknown) == (Decimal("2.00"), Decimal("0.50"), 0)
    before, after = await suite.report(day), await suite.report(TODAY)
    assert [(row["kind"], row["quantity"], row["total"]) for row in before] == [("line", "10", "7.00")]
    assert sorted((row["kind"], row["quantity"], row["total"]) for row in after) == [
        ("adjustment", "1", "-0.50"), ("correction", "3", "2.10"), ("line", "2", "1.40"),
    ]  # fmt: skip
    report = await suite.builder.reports.get(f"late-{TODAY}")
    assert report.totals == {"EUR": Decimal("3.00")}
