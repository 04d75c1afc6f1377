"""Lines explained, adjustments and late usage, over HTTP and as the command line tells it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from billing_engine.app import application
from engine_bench import Bench
from prometheus_client import CollectorRegistry
from tallyport.access.tokens import Principal, Role, TokenStore
from tallyport_local.cli.explain import _told

DAY = datetime.now(UTC).date() - timedelta(days=1)
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "E", "name": "Explained", "billing_units": [{"id": "seat", "plan_type": "user_plan", "unit": "user"}],
        "plans": [{"id": "E-U", "type": "user_plan", "name": "Seat", "currency": "EUR",
                   "properties": {"sales_price": "4"}}],
    }],
    "non_billable": [{"id": "staff", "reason": "internal", "user": "staff*"}],
}  # fmt: skip


def _user(name: str, status: str) -> dict[str, Any]:
    return {"kind": "subscription", "id": name, "instance": "acme-e", "plan": "E-U", "status": status,
            "user": {"upn": name, "name": name}}  # fmt: skip


async def test_a_status_a_rule_and_a_hand_are_told_as_they_were(bench: Bench) -> None:
    await bench.directory(
        {"kind": "organisation", "id": "acme", "type": "customer", "name": "Acme", "currency": "EUR"},
        {"kind": "service_instance", "id": "acme-e", "customer": "acme", "service": "E", "status": "Provisioned"},
        _user("ann", "Pending"), _user("staff/1", "Provisioned"),
    )  # fmt: skip
    await bench.catalog(CATALOG)
    await bench.caught_up()
    token = hashlib.sha256(b"word").hexdigest()
    tokens = TokenStore({token: Principal("ann", frozenset({Role.PROVIDER_ADMINISTRATOR}))})
    app = application(bench.engine, bench.pool, tokens, CollectorRegistry())
    headers = {"authorization": "Bearer word"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://e", headers=headers) as client:
        wanted = {"customer": "acme", "amount": "-2.5", "currency": "EUR", "description": "Sorry", "reason": "goodwill"}
        answer = await client.post("/v1/adjustments", json=wanted)
        assert (answer.status_code, answer.json()["author"], answer.json()["state"]) == (201, "ann", "approved")
        refused = await client.post("/v1/adjustments", json=wanted | {"amount": "0.001"})
        assert (refused.status_code, refused.json()["detail"]) == (409, "0.001 has more than the 2 decimals of EUR")
        await bench.transfer(DAY)
        await bench.fetch("UPDATE transfer SET state = 'done'")
        await bench.directory(_user("ann", "Provisioned"))
        await bench.catalog(CATALOG | {"non_billable": []})
        await bench.caught_up()

        async def told(unit: str, name: str) -> list[str]:
            answer = await client.get(f"/v1/lines/{DAY}/acme/{unit}/{name}")
            assert answer.status_code == 200, answer.text
            return [text for one in answer.json() for text in _told(one)]

        ann = await told("seat", "ann")
        assert ann[0] == "line: 1 x 4 = 4.00 EUR  "
        assert ann[2] == "  rule      E version 1, unit seat"
        assert ann[3].startswith("  status    Pending, known since 20")
        assert ann[4] == "  price     sales_price from plan"
        assert (await told("seat", "staff%2F1"))[-1] == "  free      internal: rule staff"
        number = (await client.get("/v1/adjustments")).json()[0]["id"]
        assert "goodwill: Sorry (by ann at" in (await told("adjustment", f"adjustment-{number}"))[2]
        missing = await client.get(f"/v1/lines/{DAY}/acme/seat/nobody")
        assert missing.status_code == 404
        assert "has no line of customer 'acme', unit 'seat' and object 'nobody'" in missing.json()["detail"]
        assert (await client.get("/v1/late-usage")).json() == []
