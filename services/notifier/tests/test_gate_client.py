"""The client library on a real gate: allowed, declined, confirmed while it waits, undecided, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from gate_bench import GateBench
from gate_http import Caller, calling
from tallyport.testing.waiting import until
from tallyport_gate import (
    Action,
    Actor,
    AsyncGate,
    ConflictError,
    DeclinedError,
    PlanAdded,
    RejectedError,
    UndecidedError,
)

ASKER = Actor("asker", "customer_administrator", "en")


def action(request_id: str, *, kind: str = "create_user", plan: str = "GOLD") -> Action:
    return Action(kind, "old", ASKER, [PlanAdded(plan, 1)], id=request_id)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def call(gate: GateBench) -> AsyncIterator[Caller]:
    await gate.provider({"id": "old", "name": "Old", "imported": True})
    await gate.tick("create_user")
    async with calling(gate) as caller:
        yield caller


@pytest.fixture
def panel(call: Caller) -> AsyncGate:
    transport = call._client._transport  # noqa: SLF001 - the application behind the caller
    return AsyncGate("http://gate", "panel", client=httpx.AsyncClient(transport=transport), patience_seconds=1)


async def outcome(call: Caller, request_id: str) -> str | None:
    found = await call.ok("panel", "GET", f"/v1/billable-actions/{request_id}")
    told: str | None = found["outcome"]
    return told


async def test_what_is_not_asked_about_is_performed_at_once(call: Caller, panel: AsyncGate) -> None:
    async with panel.ask(action("at-once", kind="create_group")) as permit:
        assert permit.reason == "not_ticked"
    assert await outcome(call, "at-once") == "performed"


async def test_a_confirmation_opens_the_block_that_waits_for_it(call: Caller, panel: AsyncGate) -> None:
    performed: list[str] = []

    async def create() -> None:
        async with panel.ask(action("waits"), wait_seconds=30) as permit:
            performed.append(permit.reason or "")

    task = asyncio.create_task(create())
    asked: list[str] = []

    async def is_asked() -> bool:
        asked[:] = [
            one["confirmation_id"]
            for one in await call.ok("ann", "GET", "/v1/confirmations?state=open")
            if one["request_id"] == "waits"
        ]
        return bool(asked)

    await until(is_asked, seconds=30, what="the question")
    assert performed == []
    await call.ok("ann", "POST", f"/v1/confirmations/{asked[0]}/answer", json={"answer": "confirm"})
    await task
    assert performed == ["confirmed"]
    assert await outcome(call, "waits") == "performed"


async def test_a_no_keeps_it_closed_for_ever(call: Caller, panel: AsyncGate) -> None:
    with pytest.raises(UndecidedError) as open_:
        async with panel.ask(action("refused"), wait_seconds=0):
            pytest.fail("nobody has allowed it")
    place = f"/v1/confirmations/{open_.value.confirmation_id}/answer"
    await call.ok("ann", "POST", place, json={"answer": "decline"})
    for _again in range(2):
        with pytest.raises(DeclinedError, match="declined"):
            async with panel.ask(action("refused"), wait_seconds=0):
                pytest.fail("it is declined")


async def test_an_action_that_does_not_work_is_told_as_it_was(call: Caller, panel: AsyncGate) -> None:
    with pytest.raises(RuntimeError, match="no room"):
        async with panel.ask(action("breaks/with a slash", kind="create_group")):
            raise RuntimeError("no room")
    assert await outcome(call, "breaks%2Fwith%20a%20slash") == "failed"


async def test_what_the_gate_refuses_is_said(panel: AsyncGate) -> None:
    async with panel.ask(action("used", kind="create_group")):
        pass
    with pytest.raises(ConflictError):
        await panel.decide(action("used", kind="create_group", plan="BASIC"))
    with pytest.raises(RejectedError) as rejected:
        await panel.decide(action("", kind="create_group"))
    assert rejected.value.errors[0]["field"] == "id"
    stranger = AsyncGate("http://gate", "nobody", client=panel._client)  # noqa: SLF001
    with pytest.raises(RejectedError, match="401"):
        await stranger.decide(action("stranger"))
