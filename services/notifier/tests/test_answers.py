"""Answers: who may give them, how often, to what; and what is tried by those who may not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gate_bench import GateBench
from gate_http import Caller, calling


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def call(gate: GateBench) -> AsyncIterator[Caller]:
    """A gate that asks the customer ``old`` about two actions."""
    await gate.provider({"id": "old", "name": "Old <b>&", "imported": True}, {"id": "new", "name": "New"})
    await gate.tick("create_user", "create_group")
    async with calling(gate) as caller:
        yield caller


async def answered(call: Caller, token: str, sha256: str, word: str = "confirm") -> httpx.Response:
    return await call(token, "POST", "/v1/confirmation/answer", json={"answer": word, "quote_sha256": sha256})


async def test_a_token_shows_one_question_and_answers_it_once(call: Caller) -> None:
    confirmation, sha256 = await call.open("by-token")
    token = await call.token(confirmation)
    shown = await call.ok(token, "GET", "/v1/confirmation")
    assert shown["confirmation_id"] == confirmation
    assert (shown["state"], shown["action_label"], shown["direction"]) == ("open", "Create a user", "ltr")
    assert "<bdi>Old &lt;b&gt;&amp;</bdi>" in shown["message_html"]
    answer = await answered(call, token, sha256)
    assert (answer.status_code, answer.json()["decision"]) == (200, "allowed")
    assert await call.state("by-token") == ("allowed", "confirmed")
    again = await answered(call, token, sha256, "decline")
    assert (again.status_code, "counts once" in again.json()["detail"]) == (409, True)
    assert (await call.ok(token, "GET", "/v1/confirmation"))["state"] == "confirmed"


async def test_the_outcome_closes_the_loop_once(call: Caller) -> None:
    path = "/v1/billable-actions/outcome-1/outcome"
    confirmation, _ = await call.open("outcome-1")
    refused = await call("panel", "POST", path, json={"outcome": "performed"})
    assert refused.status_code == 409
    await call.ok("ann", "POST", f"/v1/confirmations/{confirmation}/answer", json={"answer": "confirm"})
    for _ in range(2):
        told = await call.ok("panel", "POST", path, json={"outcome": "performed", "detail": ""})
        assert (told["decision"], told["outcome"]) == ("allowed", "performed")
    assert (await call("panel", "POST", path, json={"outcome": "failed"})).status_code == 409
    assert (
        await call("panel", "POST", "/v1/billable-actions/none/outcome", json={"outcome": "failed"})
    ).status_code == 404


async def test_forged_stale_foreign_and_tampered_answers_are_refused(call: Caller) -> None:
    confirmation, sha256 = await call.open("attacked")
    other, other_sha = await call.open("attacked-2", items=[{"plan": "GOLD", "quantity_delta": "2"}])
    token = await call.token(confirmation)
    path = f"/v1/confirmations/{confirmation}/answer"
    tries: list[tuple[str, Any, int]] = [
        ("ct_" + "x" * 43, sha256, 401),
        (token[:-1] + ("A" if token[-1] != "A" else "B"), sha256, 401),
        (confirmation, sha256, 401),
        (token, other_sha, 409),
        (token, "0" * 64, 409),
        (token, "nonsense", 422),
    ]
    for bearer, seen, status in tries:
        assert (await answered(call, bearer, seen)).status_code == status, (bearer, seen)
    # A panel's token is not one of a question, and a question's token is none of a panel.
    assert (await answered(call, "panel", sha256)).status_code == 403
    for method, place in (("GET", "/v1/confirmations"), ("POST", path), ("GET", "/v1/billable-actions/attacked")):
        assert (await call(token, method, place, json={"answer": "confirm"})).status_code == 401
    assert (await call("eve", "POST", path, json={"answer": "confirm"})).status_code == 409
    assert await call.state("attacked") == (None, None)
    assert (await answered(call, await call.token(other), other_sha, "decline")).status_code == 200
    assert await call.state("attacked-2") == ("declined", "declined")
    assert await call.state("attacked") == (None, None)
    assert (await call("panel", "POST", f"/v1/confirmations/{other}/token", json={})).status_code == 404


async def test_a_token_ends_with_its_time_and_with_the_question(call: Caller, gate: GateBench) -> None:
    confirmation, sha256 = await call.open("stale")
    token = await call.token(confirmation, valid_seconds=10)
    kept = await gate.pool.fetchrow("SELECT * FROM confirmation_token WHERE confirmation = $1", confirmation)
    assert kept is not None
    assert token not in str(dict(kept.items()))
    await gate.pool.execute("UPDATE confirmation_token SET expires_at = now() WHERE confirmation = $1", confirmation)
    assert (await answered(call, token, sha256)).status_code == 401
    assert (await call(token, "GET", "/v1/confirmation")).status_code == 401


async def test_answers_are_counted_and_too_many_have_to_wait(call: Caller) -> None:
    confirmation, sha256 = await call.open("hammered")
    token = await call.token(confirmation)
    statuses = [(await answered(call, token, "0" * 64)).status_code for _ in range(12)]
    assert statuses == [409] * 10 + [429] * 2
    refused = await answered(call, token, sha256)
    assert (refused.status_code, 1 <= int(refused.headers["retry-after"]) <= 61) == (429, True)
    assert await call.state("hammered") == (None, None)


@pytest.mark.parametrize("number", range(5))
async def test_of_many_answers_at_once_one_wins(call: Caller, gate: GateBench, number: int) -> None:
    confirmation, sha256 = await call.open(f"race-{number}")
    tokens = [await call.token(confirmation) for _ in range(4)]
    words = ["confirm", "decline"] * 2
    answers = await asyncio.gather(
        *(answered(call, token, sha256, word) for token, word in zip(tokens, words, strict=True)),
        call("ann", "POST", f"/v1/confirmations/{confirmation}/answer", json={"answer": "confirm"}),
    )
    won = [one.json()["decision"] for one in answers if one.status_code == 200]
    assert len(won) == 1
    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409, 409]
    assert (await call.state(f"race-{number}"))[0] == won[0]
    await gate.caught_up()
    told = [one for one in await gate.read_all("billable-actions.decided") if one["request_id"] == f"race-{number}"]
    assert [one["decision"] for one in told] == won
