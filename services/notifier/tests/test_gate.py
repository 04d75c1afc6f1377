"""The gate: who is asked, what the answer does."""

from __future__ import annotations

from decimal import Decimal

import pytest
from gate_bench import GateBench
from notifier.actions.service import AnswerRefusedError, ConflictingRequestError
from tallyport.contracts.actions import ActionRequest
from tallyport.contracts.catalog import OverridesChanged, RatesChanged, RulesChanged
from tallyport.contracts.currencies import ConversionRate
from tallyport.contracts.rules import NonBillableRule
from tallyport.testing.waiting import until

ADD_GOLD = {"items": [{"plan": "GOLD", "quantity_delta": "1"}]}
TO_GOLD = {"items": [{"from_plan": "BASIC", "to_plan": "GOLD", "quantity": "3"}]}
TO_BASIC = {"items": [{"from_plan": "GOLD", "to_plan": "BASIC", "quantity": "3"}]}


@pytest.fixture(scope="module")
async def asked(gate: GateBench) -> GateBench:
    """A provider whose gate asks about two actions."""
    await gate.provider({"id": "old", "name": "Old {difference} & Co", "imported": True}, {"id": "new", "name": "New"})
    await gate.override("GOLD", "var", sales_price="4.00")
    await gate.tick("create_user", "change_user_bundle")
    return gate


@pytest.mark.parametrize(
    ("request_id", "fields", "decision", "reason"),
    [
        ("at-once-0", {"action": "create_usr", "customer": "old", **ADD_GOLD}, "declined", "unknown_action"),
        ("at-once-1", {"action": "create_group", "customer": "old", **ADD_GOLD}, "allowed", "not_ticked"),
        ("at-once-2", {"action": "create_user", "customer": "new", **ADD_GOLD}, "allowed", "switch_off"),
        ("at-once-3", {"action": "change_user_bundle", "customer": "old", **TO_BASIC}, "allowed", "no_increase"),
        ("at-once-4", {"action": "create_user", "customer": "nobody", **ADD_GOLD}, "declined", "unknown_customer"),
        ("at-once-5", {"action": "change_user_bundle", "customer": "old", **TO_GOLD}, None, None),
        (
            "at-once-6",
            {"action": "create_user", "customer": "old", "items": [{"plan": "UNPRICED", "quantity_delta": "1"}]},
            None,
            None,
        ),
    ],
)
async def test_who_is_asked(
    asked: GateBench, request_id: str, fields: dict[str, object], decision: str | None, reason: str | None
) -> None:
    found = await asked.request(id=request_id, **fields)
    assert (found.decision, found.reason) == (decision, reason)
    assert (found.confirmation_id is None) == (decision is not None)


async def test_a_confirmed_request_is_allowed_once_and_announced(asked: GateBench) -> None:
    found = await asked.request(id="confirmed", action="change_user_bundle", customer="old", **TO_GOLD)
    assert found.quote is not None
    assert found.quote.difference == Decimal("8.25")
    question = next(q for q in await asked.read_all("confirmations.required") if q["request_id"] == "confirmed")
    assert question["language"] == "de"
    assert "Old {difference} & Co" in question["message"]
    assert "€\xa08,25" in question["message"]

    gate, unit_of_work = asked.notifier.gate, asked.notifier.messaging.unit_of_work
    confirmation_id = question["confirmation_id"]
    async with unit_of_work() as uow:
        result = await gate.answer(uow, confirmation_id, "confirm", by="admin", quote_sha256=found.quote.sha256)
    assert result.decision == "allowed"
    with pytest.raises(AnswerRefusedError, match="counts once"):
        async with unit_of_work() as uow:
            await gate.answer(uow, confirmation_id, "decline", by="admin", quote_sha256=None)
    await asked.caught_up()
    decided = [one for one in await asked.read_all("billable-actions.decided") if one["request_id"] == "confirmed"]
    assert [(one["decision"], one["reason"]) for one in decided] == [("allowed", "confirmed")]


async def test_a_price_that_moved_is_asked_about_again(asked: GateBench) -> None:
    found = await asked.request(id="moved", action="create_user", customer="old", **ADD_GOLD)
    await asked.override("GOLD", "old", sales_price="5.00")
    async with asked.notifier.messaging.unit_of_work() as uow:
        result = await asked.notifier.gate.answer(
            uow, found.confirmation_id or "", "confirm", by="admin", quote_sha256=None
        )
    assert result.decision is None
    assert result.asked_again not in (None, found.confirmation_id)
    again = await asked.find("moved")
    assert again is not None
    assert (again.decision, again.confirmation_id) == (None, result.asked_again)


async def test_another_customers_administrator_finds_no_question(asked: GateBench) -> None:
    found = await asked.request(id="foreign", action="create_user", customer="old", **ADD_GOLD)
    with pytest.raises(AnswerRefusedError, match="there is no confirmation"):
        async with asked.notifier.messaging.unit_of_work() as uow:
            await asked.notifier.gate.answer(
                uow, found.confirmation_id or "", "confirm", by="x", quote_sha256=None, customer="new"
            )


async def test_the_same_id_with_another_content_is_refused(asked: GateBench) -> None:
    await asked.request(id="twice", action="create_group", customer="old", **ADD_GOLD)
    other = ActionRequest.model_validate(
        {"id": "twice", "action": "create_user", "customer": "old", "actor": {"id": "a", "role": "b"}, **ADD_GOLD}
    )
    with pytest.raises(ConflictingRequestError):
        async with asked.notifier.messaging.unit_of_work() as uow:
            await asked.notifier.gate.request(uow, other, correlation_id="x")


async def test_what_nobody_answers_in_time_is_declined(asked: GateBench) -> None:
    found = await asked.request(id="late", action="create_user", customer="old", **ADD_GOLD)
    async with asked.pool.acquire() as connection:
        await connection.execute("UPDATE confirmation SET expires_at = now() WHERE id = $1", found.confirmation_id)

    async def declined() -> bool:
        again = await asked.find("late")
        return again is not None and (again.decision, again.reason) == ("declined", "expired")

    await until(declined)


async def test_rates_and_rules_of_the_catalogue_make_the_quote(asked: GateBench) -> None:
    await asked.organisations(
        {"id": "yank", "type": "customer", "parent": "sp", "name": "Yank", "currency": "USD", "imported": True},
        {"id": "brit", "type": "customer", "parent": "sp", "name": "Brit", "currency": "GBP", "imported": True},
    )
    rate = ConversionRate.model_validate({"from": "EUR", "to": "USD", "rate": "1.08", "valid_from": "2026-01-01"})
    await asked.publish("catalog.changes", RatesChanged(rates=[rate]), key="conversion_rates")
    pounds = OverridesChanged(
        plan="GOLD", level="organisation", level_id="brit", currency="GBP", properties={"sales_price": "3.80"}
    )
    await asked.publish("catalog.changes", pounds, key="override:GOLD:organisation:brit")
    await asked.caught_up()
    converted = await asked.request(id="converted", action="create_user", customer="yank", **ADD_GOLD)
    assert converted.quote is not None
    assert (converted.quote.currency, converted.quote.difference) == ("USD", Decimal("4.86"))
    own = await asked.request(id="own-currency", action="create_user", customer="brit", **ADD_GOLD)
    assert own.quote is not None
    assert (own.quote.currency, own.quote.difference) == ("GBP", Decimal("3.80"))
    free = NonBillableRule.model_validate({"id": "a", "reason": "pilot", "organisation": "yank", "plan": "GOLD"})
    nobody = NonBillableRule.model_validate({"id": "b", "reason": "staff", "organisation": "brit", "user": "admin-*"})
    await asked.publish("catalog.changes", RulesChanged(rules=[free, nobody]), key="non_billable")
    await asked.caught_up()
    found = await asked.request(id="free", action="create_user", customer="yank", **ADD_GOLD)
    assert (found.decision, found.decision and found.reason) == ("allowed", "no_increase")
    found = await asked.request(id="perhaps", action="create_user", customer="brit", **ADD_GOLD)
    assert found.decision is None
