"""Settings and options of the gate: who may set what, and what it does to the next request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio
from gate_bench import GateBench
from gate_http import ADD_GOLD, ASKER, Caller, calling
from notifier.settings import GateSettings
from tallyport.audit import Chain, Entry, follow
from tallyport.contracts.directory import DIRECTORY_TYPE

USERS = "/v1/settings/actions/create_user"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def call(gate: GateBench) -> AsyncIterator[Caller]:
    """A gate whose customer ``old`` is asked about two actions."""
    await gate.provider(
        {"id": "old", "name": "Old", "imported": True, "language": "de-AT"},
        {"id": "new", "name": "New"},
        {"id": "own", "name": "Own", "parent": "sp"},
    )
    async with calling(gate) as caller:
        for action in ("create_user", "create_auto_attendant"):
            await caller.ok("advanced", "PUT", f"/v1/settings/actions/{action}", json={"ticked": True})
        yield caller


async def test_ticks_are_for_administrators_with_the_privilege(call: Caller) -> None:
    for who in ("root", "panel", "reader", "north", "ann"):
        assert (await call(who, "PUT", USERS, json={"ticked": False})).status_code == 403
    assert (await call("advanced", "PUT", "/v1/settings/actions/nothing", json={"ticked": True})).status_code == 404
    listed = {one["action"]: one["ticked"] for one in await call.ok("reader", "GET", "/v1/settings/actions")}
    assert listed == {
        "create_user": True, "change_user_bundle": False, "create_group": False, "create_auto_attendant": True,
        "create_call_flow": False, "create_general_mailbox": False,
    }  # fmt: skip


async def test_an_action_of_the_providers_own(call: Caller) -> None:
    said = {"labels": {"en": "Book a room", "de": "Raum buchen"}, "items": [{"plan": "GOLD", "quantity_delta": "2"}]}
    assert (await call.ask("room-0", action="book_room"))["reason"] == "unknown_action"
    assert (await call("advanced", "PUT", "/v1/actions/create_user", json=said)).status_code == 422
    await call.ok("advanced", "PUT", "/v1/actions/book_room", json=said)
    assert (await call.ask("room-1", action="book_room"))["reason"] == "not_ticked"
    await call.ok("advanced", "PUT", "/v1/settings/actions/book_room", json={"ticked": True})
    found = await call.ask("room-2", action="book_room", items=[])
    assert (found["state"], found["quote"]["difference"], found["quote"]["after"]) == ("open", "9.00", "9.00")
    shown = await call.ok(await call.token(found["confirmation_id"]), "GET", "/v1/confirmation")
    assert (shown["action_label"], shown["language"]) == ("Raum buchen", "de")
    assert "Raum buchen" in shown["message_text"]
    assert "€\xa09,00" in shown["message_text"]
    await call.ok("advanced", "DELETE", "/v1/actions/book_room")
    assert (await call.ask("room-3", action="book_room"))["reason"] == "unknown_action"


async def test_variants_have_names_of_their_own(call: Caller) -> None:
    for variant, label in (("main", "Hauptvermittlung"), ("menu_item", "Menüpunkt")):
        confirmation, _ = await call.open(f"variant-{variant}", action="create_auto_attendant", variant=variant)
        shown = await call.ok(await call.token(confirmation), "GET", "/v1/confirmation")
        assert label in shown["message_text"]
    body = {"id": "v", "action": "create_user", "variant": "main", "customer": "old", "actor": ASKER, "items": ADD_GOLD}
    refused = await call("panel", "POST", "/v1/billable-actions", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "variant")
    refused = await call("panel", "POST", "/v1/billable-actions", json=body | {"variant": None, "items": []})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "items")


async def test_resellers_switch_their_own_customers(call: Caller) -> None:
    place = "/v1/customers/{}/confirmation-switch"
    assert [(await call.ok("north", "GET", place.format(one)))["on"] for one in ("old", "new")] == [True, False]
    assert (await call.ask("switch-1", customer="new"))["reason"] == "switch_off"
    await call.ok("north", "PUT", place.format("new"), json={"on": True})
    assert (await call.ask("switch-2", customer="new"))["state"] == "open"
    await call.ok("root", "PUT", place.format("new"), json={"on": False})
    for foreign in ("own", "sp", "var", "nobody"):
        assert (await call("north", "GET", place.format(foreign))).status_code == 404
        assert (await call("north", "PUT", place.format(foreign), json={"on": False})).status_code == 404
    assert (await call("ann", "PUT", place.format("old"), json={"on": False})).status_code == 403


async def test_the_providers_people_are_not_asked_and_it_is_noted(call: Caller) -> None:
    found = await call.ask("staff", actor={"id": "carl", "role": "provider_administrator"})
    assert (found["decision"], found["reason"]) == ("allowed", "provider_staff")
    noted = await call.ok("root", "GET", "/v1/audit", params={"entity": "request:staff"})
    assert [(one["who"], one["action"]) for one in noted] == [("notifier", "allowed"), ("carl", "requested")]
    assert noted[0]["after"] == {"reason": "provider_staff"}


async def test_somebody_else_than_who_asked(call: Caller) -> None:
    await call.ok("advanced", "PUT", USERS, json={"ticked": True, "other_person": True})
    confirmation, sha256 = await call.open("other", actor={"id": "ann", "role": "customer_administrator"})
    path, body = f"/v1/confirmations/{confirmation}/answer", {"answer": "confirm", "quote_sha256": sha256}
    assert "somebody else" in (await call("ann", "POST", path, json=body)).json()["detail"]
    for person in (None, "ann"):
        token = await call.token(confirmation, person=person)
        assert (await call(token, "POST", "/v1/confirmation/answer", json=body)).status_code == 409
    assert (await call.ok("bob", "POST", path, json=body))["decision"] == "allowed"
    await call.ok("advanced", "PUT", USERS, json={"ticked": True})


async def test_above_the_limit_two_people_confirm(call: Caller) -> None:
    limits = {"ticked": True, "two_above": {"EUR": "10"}, "valid_minutes": 5}
    await call.ok("advanced", "PUT", USERS, json=limits)
    few, sha256 = await call.open("two-few")
    answer = {"answer": "confirm", "quote_sha256": sha256}
    assert (await call.ok("ann", "POST", f"/v1/confirmations/{few}/answer", json=answer))["decision"] == "allowed"
    found = await call.ask("two", items=[{"plan": "GOLD", "quantity_delta": "3"}])
    left = datetime.fromisoformat(found["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)
    path = f"/v1/confirmations/{found['confirmation_id']}/answer"
    answer = {"answer": "confirm", "quote_sha256": found["quote"]["sha256"]}
    assert (await call.ok("ann", "POST", path, json=answer))["decision"] is None
    assert "confirmed already" in (await call("ann", "POST", path, json=answer)).json()["detail"]
    assert await call.state("two") == (None, None)
    assert (await call.ok("bob", "POST", path, json=answer))["decision"] == "allowed"
    unpriced = await call.ask("two-unpriced", items=[{"plan": "NONE", "quantity_delta": "1"}])
    token = await call.token(unpriced["confirmation_id"])
    shown = await call.ok(token, "GET", "/v1/confirmation")
    assert (shown["confirmations_needed"], "nicht berechnen" in shown["message_text"]) == (2, True)
    await call.ok("advanced", "PUT", USERS, json={"ticked": True})


async def test_a_price_that_moved_is_shown_and_answered_with_the_same_token(call: Caller, gate: GateBench) -> None:
    confirmation, sha256 = await call.open("moved")
    until = (await call.ask("moved"))["expires_at"]
    token = await call.token(confirmation)
    await gate.override("GOLD", "old", sales_price="5.00")
    refused = await call(token, "POST", "/v1/confirmation/answer", json={"answer": "confirm", "quote_sha256": sha256})
    assert (refused.status_code, refused.json()["title"]) == (409, "The price has moved")
    new = refused.json()["confirmation"]
    assert (new["quote"]["difference"], new["expires_at"]) == ("5.00", until)
    assert new["confirmation_id"] != confirmation
    assert await call.ok(token, "GET", "/v1/confirmation") == new
    stale = await call(token, "POST", "/v1/confirmation/answer", json={"answer": "confirm", "quote_sha256": sha256})
    assert stale.status_code == 409
    body = {"answer": "confirm", "quote_sha256": new["quote"]["sha256"]}
    assert (await call.ok(token, "POST", "/v1/confirmation/answer", json=body))["decision"] == "allowed"


async def test_words_of_the_providers_own(call: Caller) -> None:
    path, words = "/v1/messages/create_user/de", {"text": "**{new_plan}** für {customer}", "format": "markdown"}
    assert (await call("root", "PUT", path, json=words)).status_code == 403
    refused = await call("advanced", "PUT", path, json={"text": "{nobody}"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "text")
    await call.ok("advanced", "PUT", path, json=words)
    wanted = {"customer": "old", "items": [{"plan": "GOLD", "quantity_delta": "2"}]}
    shown = await call.ok("reader", "POST", "/v1/messages/create_user/preview", json=wanted)
    assert shown == {"language": "de", "direction": "ltr", "text": "Gold für Old",
                     "html": "<p><strong><bdi>Gold</bdi></strong> für <bdi>Old</bdi></p>"}  # fmt: skip
    draft = {"text": "{difference} {total_after} {action}"}
    shown = await call.ok(
        "reader", "POST", "/v1/messages/create_user/preview", json=wanted | {"language": "ar", "words": draft}
    )
    assert (shown["direction"], "إنشاء مستخدم" in shown["text"], "10" in shown["text"]) == ("rtl", True, True)
    await call.ok("advanced", "DELETE", path)
    assert (await call("advanced", "DELETE", path)).status_code == 404


async def test_broken_glass_lets_everything_pass_and_says_so(call: Caller) -> None:
    until = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    path, body = "/v1/gate/break-glass", {"reason": "price list is broken", "until": until}
    assert (await call("root", "POST", path, json=body)).status_code == 403
    late = (datetime.now(UTC) + timedelta(hours=25)).isoformat()
    assert (await call("advanced", "POST", path, json=body | {"until": late})).status_code == 422
    await call.ok("advanced", "POST", path, json=body)
    assert (await call.ask("glass-1"))["reason"] == "break_glass"
    assert (await call.ask("glass-2", customer="nobody"))["reason"] == "break_glass"
    await call.ok("advanced", "DELETE", path)
    assert (await call.ask("glass-3"))["state"] == "open"
    noted = await call.ok("root", "GET", "/v1/audit", params={"entity": "break-glass"})
    assert [(one["action"], one["reason"]) for one in noted] == [
        ("glass mended", ""), ("glass broken", "price list is broken"),
    ]  # fmt: skip
    assert (await call.ok("reader", "GET", path))[0]["ended_by"] == "advanced"


async def test_who_went_around_the_gate(call: Caller, gate: GateBench) -> None:
    async def told(kind: str, **entity: object) -> None:
        value = json.dumps({"kind": kind, "status": "Provisioned", **entity}).encode()
        await gate.send("directory.changes", value, key=f"{kind}:{entity['id']}", type_=DIRECTORY_TYPE)
        await gate.caught_up()

    async def bought(name: str, plan: str) -> None:
        person = {"upn": f"{name}@own.example", "name": name}
        await told("subscription", id=name, instance="own-tel", plan=plan, user=person)

    await call.ok("root", "PUT", "/v1/customers/own/confirmation-switch", json={"on": True})
    await told("service_instance", id="own-tel", customer="own", service="TEL")
    allowed = await call.ask("around", customer="own", actor={"id": "carl", "role": "provider_staff"})
    assert allowed["decision"] == "allowed"
    await bought("u1", "GOLD")
    await bought("u1", "GOLD")
    await bought("u2", "BASIC")
    await bought("u2", "GOLD")
    query = {"customer": "own", "grace_minutes": 0}
    found = await call.ok("reader", "GET", "/v1/gate/reconciliation", params=query)
    assert [(one["id"], one["old_plan"], one["new_plan"]) for one in found["never_decided"]] == [
        ("u2", None, "BASIC"), ("u2", "BASIC", "GOLD"),
    ]  # fmt: skip
    assert [one["request_id"] for one in found["never_performed"]] == ["around"]
    await call.ok("panel", "POST", "/v1/billable-actions/around/outcome", json={"outcome": "failed"})
    found = await call.ok("reader", "GET", "/v1/gate/reconciliation", params=query)
    # What could not be performed explains nothing that was bought.
    assert [one["id"] for one in found["never_decided"]] == ["u1", "u2", "u2"]
    assert found["never_performed"] == []


async def test_the_log_is_whole_and_a_change_is_found(call: Caller, gate: GateBench) -> None:
    chain = await call.ok("root", "GET", "/v1/audit/verify")
    assert (chain["ok"], chain["first_difference"]) == (True, None)
    text = (await call("root", "GET", "/v1/audit/export", params={"format": "json"})).text
    exported = [json.loads(line) for line in text.splitlines()]
    entries = [Entry(**one | {"at": datetime.fromisoformat(one["at"])}) for one in exported]
    assert follow(Chain(), entries) == Chain(chain["entries"], chain["sha256"])
    table = (await call("root", "GET", "/v1/audit/export")).text.splitlines()
    assert table[0].startswith("audit_no,at,who,organisation,action,entity")
    for statement in ("UPDATE audit_entry SET who = 'x'", "DELETE FROM audit_entry"):
        with pytest.raises(asyncpg.PostgresError):
            await gate.pool.execute(statement)


async def test_no_page_of_another_origin_gets_in_unless_it_is_named(call: Caller, gate: GateBench) -> None:
    asked = {"origin": "https://panel.example", "access-control-request-method": "GET"}
    answer = await call("x", "OPTIONS", "/v1/confirmation", headers=asked)
    assert "access-control-allow-origin" not in answer.headers
    before = gate.notifier.settings
    gate.notifier.settings = GateSettings(origins=("https://panel.example",))
    async with calling(gate) as other:
        for path, origin, allowed in (
            ("/v1/confirmation", "https://panel.example", True),
            ("/v1/confirmation/answer", "https://panel.example", True),
            ("/v1/confirmation", "https://evil.example", False),
            ("/v1/confirmations", "https://panel.example", False),
        ):
            answer = await other("x", "OPTIONS", path, headers=asked | {"origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed, path
    gate.notifier.settings = before
