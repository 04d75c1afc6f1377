"""A running notifier, and the few verbs its tests speak."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from notifier.actions import store
from notifier.app import Notifier
from tallyport.contracts.actions import ActionRequest
from tallyport.contracts.base import Contract
from tallyport.contracts.catalog import BillingUnit, OverridesChanged, PlanChanged, SchemaPublished
from tallyport.contracts.directory import DIRECTORY_TYPE
from tallyport.messaging.envelope import Envelope, new_event_id
from tallyport.settings import KafkaSettings
from tallyport.testing.waiting import until

GOLD = PlanChanged(
    id="GOLD", service="TEL", type="user_plan", name="Gold", currency="EUR", properties={"sales_price": "4.50"}
)
BASIC = PlanChanged(
    id="BASIC", service="TEL", type="user_plan", name="Basic", currency="EUR", properties={"sales_price": "1.25"}
)
UNIT = BillingUnit(id="tel-user", plan_type="user_plan", unit="user")


@dataclass
class GateBench:
    """A running notifier with its database and its broker."""

    notifier: Notifier
    pool: asyncpg.Pool[asyncpg.Record]
    kafka: KafkaSettings
    client: AIOKafkaProducer

    async def send(self, topic: str, value: bytes, *, key: str, type_: str) -> None:
        """Produce one record, as any other program would."""
        headers = list(Envelope(new_event_id(), "/test", type_, datetime.now(UTC)).headers())
        await self.client.send_and_wait(self.kafka.topic(topic), key=key.encode(), value=value, headers=headers)

    async def publish(self, topic: str, data: Contract, *, key: str) -> None:
        """Produce one event of a contract."""
        await self.send(topic, data.write(), key=key, type_=data.TYPE)

    async def provider(self, *customers: dict[str, Any]) -> None:
        """A provider with one reseller, ``customers`` below it, and a telephony service with two bundles."""
        await self.organisations(
            {"id": "sp", "type": "service_provider", "name": "Provider", "currency": "EUR"},
            {"id": "var", "type": "value_added_reseller", "parent": "sp", "name": "North"},
            *({"type": "customer", "parent": "var", **customer} for customer in customers),
        )
        for plan in (GOLD, BASIC):
            await self.publish("catalog.changes", plan, key=f"plan:{plan.id}")
        schema = SchemaPublished(service="TEL", version=1, units=[UNIT])
        await self.publish("catalog.changes", schema, key="service_schema:TEL")
        await self.caught_up()

    async def organisations(self, *told: dict[str, Any]) -> None:
        """Tell of organisations."""
        for entity in told:
            value = json.dumps({"kind": "organisation", **entity}).encode()
            await self.send("directory.changes", value, key=f"organisation:{entity['id']}", type_=DIRECTORY_TYPE)

    async def override(self, plan: str, organisation: str, **properties: str) -> None:
        """Another price at a level of the tree."""
        said = OverridesChanged(plan=plan, level="organisation", level_id=organisation, properties=properties)
        await self.publish("catalog.changes", said, key=f"override:{plan}:organisation:{organisation}")
        await self.caught_up()

    async def tick(self, *actions: str) -> None:
        """Ask about these actions."""
        async with self.notifier.messaging.unit_of_work() as uow:
            for action in actions:
                await store.tick(uow.connection, action, ticked=True, by="test", at=uow.now())

    async def request(self, **fields: Any) -> store.StoredRequest:
        """Ask over Kafka; what became of it at first."""
        request = ActionRequest.model_validate(
            {"actor": {"id": "someone", "role": "customer_administrator", "language": "de-AT"}, **fields}
        )
        await self.publish("billable-actions.requested", request, key=request.customer)
        await self.caught_up()
        found = await self.find(request.id)
        assert found is not None
        return found

    async def find(self, request_id: str) -> store.StoredRequest | None:
        """A request as the notifier has it."""
        async with self.pool.acquire() as connection:
            return await store.find(connection, request_id)

    async def caught_up(self) -> None:
        """Wait until every consumer has applied what is in its topic and the outbox is empty."""

        async def done() -> bool:
            progress = await self.notifier.messaging.progress()
            status = await self.notifier.messaging.status()
            return all(one.lag == 0 for one in progress) and status["outbox"]["depth"] == 0

        await until(done, what="the notifier to catch up")

    async def read_all(self, topic: str) -> list[dict[str, Any]]:
        """Everything in a topic, as JSON."""
        found: list[dict[str, Any]] = []
        async with AIOKafkaConsumer(
            self.kafka.topic(topic), bootstrap_servers=self.kafka.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(partition) < end for partition, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [json.loads(record.value) for record in records]
        return found
