"""Notifier, PostgreSQL and Kafka are killed amid a thousand open confirmations: none is lost, none is decided twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from aiokafka import AIOKafkaConsumer
from tallyport.contracts.actions import ActionRequest, ConfirmationAnswered
from tallyport.contracts.directory import DIRECTORY_TYPE
from tallyport.testing.waiting import until
from yard import PATIENCE_SECONDS, Yard

NAME = "gated"
REQUESTS = 1000
CUSTOMERS = 20
PARTS = ("notifier", "postgres", "kafka")


def customer(number: int) -> str:
    return f"{NAME}-customer-{number % CUSTOMERS:02}"


async def _tree(yard: Yard) -> None:
    root = {"kind": "organisation", "id": NAME, "type": "service_provider", "name": NAME, "currency": "EUR"}
    below = [
        {"kind": "organisation", "id": customer(n), "type": "customer", "parent": NAME, "name": customer(n),
         "imported": True}
        for n in range(CUSTOMERS)
    ]  # fmt: skip
    for one in (root, *below):
        value = json.dumps(one).encode()
        await (await yard.send("directory.changes", value, key=f"organisation:{one['id']}", type_=DIRECTORY_TYPE))
    await yard.caught_up("notifier")
    url = f"{yard.stack.url('notifier')}/v1/settings/actions/create_group"
    await yard.call("PUT", url, json={"ticked": True})


async def _requests(yard: Yard, numbers: range) -> None:
    """Ask for something without a price: that is always asked about."""
    answers = []
    for n in numbers:
        request = ActionRequest.model_validate(
            {"id": f"{NAME}-{n}", "action": "create_group", "customer": customer(n),
             "actor": {"id": "asker", "role": "customer_administrator"},
             "items": [{"plan": "unpriced", "quantity_delta": "1"}]}
        )  # fmt: skip
        answers.append(
            await yard.send(
                "billable-actions.requested",
                request.write(),
                key=request.customer,
                type_=ActionRequest.TYPE,
                event_id=request.id,
            )
        )
    await asyncio.gather(*answers)


async def _answers(yard: Yard, questions: list[dict[str, Any]]) -> None:
    """Confirm every second request and decline the others, each answer told twice."""
    told = []
    for one in questions * 2:
        number = int(one["request"].rpartition("-")[2])
        answer = ConfirmationAnswered(
            confirmation_id=one["id"],
            customer=one["customer"],
            answer="confirm" if number % 2 else "decline",
            answered_by="boss",
            quote_sha256=one["quote_sha256"],
        )
        told.append(
            await yard.send(
                "confirmations.answered",
                answer.write(),
                key=one["customer"],
                type_=ConfirmationAnswered.TYPE,
                event_id=f"answer-{one['id']}",
            )
        )
    await asyncio.gather(*told)


async def _questions(yard: Yard) -> list[dict[str, Any]]:
    rows = await yard.fetch(
        "notifier",
        "SELECT id, request, customer, quote_sha256 FROM confirmation "
        "WHERE state = 'open' AND starts_with(request, $1)",
        f"{NAME}-",
    )
    return [dict(row.items()) for row in rows]


async def _decided(yard: Yard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with AIOKafkaConsumer(
        yard.stack.kafka.topic("billable-actions.decided"),
        bootstrap_servers=yard.stack.kafka.bootstrap_servers,
        auto_offset_reset="earliest",
    ) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [json.loads(record.value) for record in records]
    return [one for one in found if one["request_id"].startswith(f"{NAME}-")]


async def test_a_thousand_open_confirmations_survive_every_part(yard: Yard) -> None:
    await _tree(yard)
    await _requests(yard, range(REQUESTS // 2))
    asking = asyncio.create_task(_requests(yard, range(REQUESTS // 2, REQUESTS)))
    await yard.stack.kill("notifier")
    await yard.stack.wait_ready("notifier")
    await asking
    await yard.caught_up("notifier")
    questions = await _questions(yard)
    assert Counter(one["request"] for one in questions) == Counter(f"{NAME}-{n}" for n in range(REQUESTS))

    rest = questions
    for part in PARTS:
        some, rest = rest[: REQUESTS // 3], rest[REQUESTS // 3 :]
        answering = asyncio.create_task(_answers(yard, some))
        await yard.stack.kill(part)
        await yard.stack.wait_ready(part)
        await answering
    await _answers(yard, rest)

    async def all_decided() -> bool:
        return not await _questions(yard)

    await until(all_decided, seconds=PATIENCE_SECONDS, what="every question to be answered")
    await yard.caught_up("notifier")
    wanted = {f"{NAME}-{n}": "allowed" if n % 2 else "declined" for n in range(REQUESTS)}
    stored = await yard.fetch(
        "notifier", "SELECT id, decision FROM action_request WHERE starts_with(id, $1)", f"{NAME}-"
    )
    assert {row["id"]: row["decision"] for row in stored} == wanted
    told = await _decided(yard)
    # A decision may be told again after a crash, under the same id; never another one.
    assert {(one["request_id"], one["decision"]) for one in told} == set(wanted.items())
    states = await yard.fetch(
        "notifier",
        "SELECT state, count(*) AS n FROM confirmation WHERE starts_with(request, $1) GROUP BY state",
        f"{NAME}-",
    )
    assert {row["state"]: row["n"] for row in states} == {"confirmed": REQUESTS // 2, "declined": REQUESTS // 2}
    noted = await yard.fetch(
        "notifier",
        "SELECT action, count(*) AS n FROM audit_entry WHERE starts_with(entity, $1) GROUP BY action",
        f"request:{NAME}-",
    )
    assert {row["action"]: row["n"] for row in noted} == {
        "requested": REQUESTS, "answered": REQUESTS, "allowed": REQUESTS // 2, "declined": REQUESTS // 2,
    }  # fmt: skip
    chain = await yard.call("GET", f"{yard.stack.url('notifier')}/v1/audit/verify")
    assert chain["ok"], chain
