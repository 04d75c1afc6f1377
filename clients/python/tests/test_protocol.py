"""The conversation, without any input or output, and what the model refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyport_gate import (
    Action,
    Actor,
    AsyncGate,
    ConflictError,
    DeclinedError,
    Gate,
    GateError,
    PlanAdded,
    PlanChanged,
    RejectedError,
    UnavailableError,
    UndecidedError,
)
from tallyport_gate.protocol import Pause, Reply, asking

ACTION = Action("create_user", "acme", Actor("ann", "customer_administrator", "de"), [PlanAdded("GOLD", 1)], id="r-1")


def said(decision: str | None, **more: Any) -> Reply:
    body = {"request_id": "r-1", "decision": decision, "reason": "because", "confirmation_id": "c-1", "quote": None}
    return Reply(200 if decision else 202, None, {**body, **more})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def talk(
    replies: Sequence[Reply | None], *, wait_seconds: float = 100.0, call_seconds: float = 0.1
) -> tuple[Any, float]:
    """Carry it out with these replies, the last for ever; the decision, or the error, and how long it took."""
    clock, number = Clock(), 0
    conversation = asking(ACTION, wait_seconds=wait_seconds, patience_seconds=30, clock=clock)
    reply: Reply | None = None
    try:
        while True:
            step = conversation.send(reply)
            reply = None
            if isinstance(step, Pause):
                clock.now += step.seconds
            else:
                clock.now += call_seconds
                reply = replies[min(number, len(replies) - 1)]
                number += 1
    except StopIteration as end:
        return end.value, clock.now
    except GateError as error:
        return error, clock.now


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([said("declined")], DeclinedError),
        ([said(None)], UndecidedError),
        ([said("maybe")], UndecidedError),
        ([said("ALLOWED")], UndecidedError),
        ([said("allowed", request_id="r-2")], RejectedError),
        ([None], UnavailableError),
        ([Reply(500, None, {})], UnavailableError),
        ([Reply(429, "1", None)], UnavailableError),
        ([Reply(200, None, None)], RejectedError),
        ([Reply(204, None, None)], RejectedError),
        ([Reply(302, None, {})], RejectedError),
        ([Reply(409, None, {"detail": "used"})], ConflictError),
        ([Reply(422, None, {"detail": "items.0.plan", "errors": [{"field": "items.0.plan"}]})], RejectedError),
        ([None, Reply(503, None, None), said("declined")], DeclinedError),
    ],
)
def test_nothing_but_a_yes_is_a_permission(replies: list[Reply | None], error: type[GateError]) -> None:
    found, seconds = talk(replies)
    assert type(found) is error
    assert seconds < 100 + 30 + 75


@given(
    statuses=st.lists(st.one_of(st.none(), st.sampled_from([202, 408, 429, 500, 503])), max_size=6),
    wait=st.floats(0, 500),
    call=st.floats(0.001, 20),
)
def test_it_always_ends_and_a_yes_is_heard_after_whatever_came_before(
    statuses: list[int | None], wait: float, call: float
) -> None:
    before = [None if one is None else said(None) if one == 202 else Reply(one, None, {}) for one in statuses]
    found, seconds = talk([*before, said("allowed")], wait_seconds=wait, call_seconds=call)
    assert getattr(found, "decision", None) == "allowed" or isinstance(found, UndecidedError | UnavailableError)
    assert seconds <= wait + 2 * (30 + 70) + 60


def test_the_gate_is_not_asked_before_it_wants_to_be() -> None:
    found, seconds = talk([Reply(429, "7", None), said("allowed")])
    assert found.decision == "allowed"
    assert seconds >= 7


@pytest.mark.parametrize("quantity", [1.5, True, "1"])
def test_a_quantity_is_exact(quantity: Any) -> None:
    with pytest.raises(TypeError, match="a quantity is an int or a Decimal"):
        PlanAdded("GOLD", quantity).to_json()


def test_an_action_is_written_as_the_contract_says() -> None:
    items = [PlanAdded("GOLD", Decimal("1E+2")), PlanChanged("GOLD", "PLATINUM", 3)]
    assert Action("x", "acme", Actor("ann", "user"), items, {"k": 1}, "r-9").to_json() == {
        "id": "r-9",
        "action": "x",
        "customer": "acme",
        "actor": {"id": "ann", "role": "user", "language": None},
        "items": [
            {"plan": "GOLD", "quantity_delta": "100"},
            {"from_plan": "GOLD", "to_plan": "PLATINUM", "quantity": "3"},
        ],
        "payload": {"k": 1},
    }
    assert len({Action("x", "acme", Actor("ann", "user"), []).id for _ in range(3)}) == 3


def scripted(*statuses: int, heard: list[httpx.Request]) -> httpx.MockTransport:
    """The wire, answering with these statuses to outcomes and with a yes to questions."""
    left = list(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        if request.url.path.endswith("/outcome"):
            return httpx.Response(left.pop(0) if len(left) > 1 else left[0], json={})
        return httpx.Response(200, json=said("allowed").body)

    return httpx.MockTransport(answer)


async def test_both_gates_say_the_same_to_the_wire_with_a_token_of_the_moment() -> None:
    tokens = iter(f"token-{number}" for number in range(9))
    told: list[list[tuple[str, str, bytes, str]]] = []
    for kind in ("async", "sync"):
        heard: list[httpx.Request] = []
        wire = scripted(200, heard=heard)
        if kind == "async":
            client = httpx.AsyncClient(transport=wire)
            async with AsyncGate("http://gate/", lambda: next(tokens), client=client) as gate, gate.ask(ACTION) as one:
                assert one.reason == "because"
        else:
            plain = Gate("http://gate", lambda: next(tokens), client=httpx.Client(transport=wire))
            with plain, plain.ask(ACTION) as one:
                assert one.decision.decision == "allowed"
        told.append(
            [(one.method, one.url.raw_path.decode(), one.content, one.headers["authorization"]) for one in heard]
        )
    assert [one[:3] for one in told[0]] == [one[:3] for one in told[1]]
    assert [one[1] for one in told[0]] == ["/v1/billable-actions?wait_seconds=60", "/v1/billable-actions/r-1/outcome"]
    assert [one[3] for one in told[0] + told[1]] == [f"Bearer token-{number}" for number in range(4)]


async def test_what_was_performed_stays_performed_when_the_gate_cannot_be_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[httpx.Request] = []
    client = httpx.AsyncClient(transport=scripted(404, heard=heard))
    with caplog.at_level(logging.WARNING):
        async with AsyncGate("http://gate", "t", client=client) as gate, gate.ask(ACTION) as permit:
            pass
    assert permit.unreported == "performed"
    assert "r-1 was performed, and the gate was not told" in caplog.text


async def test_an_action_that_is_cancelled_has_failed() -> None:
    heard: list[httpx.Request] = []
    begun = asyncio.Event()

    async def work() -> None:
        client = httpx.AsyncClient(transport=scripted(200, heard=heard))
        async with AsyncGate("http://gate", "t", client=client) as gate, gate.ask(ACTION):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b'"failed"' in heard[-1].content
