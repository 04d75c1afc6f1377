"""Overrides one by one: whose they are to say, what they may not say, and who sees which price."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from engine_bench import Bench
from engine_http import Caller

MINE = "/v1/overrides/M-C/east-city"


async def put(call: Caller, who: str, path: str, properties: dict[str, str], **more: Any) -> Any:
    return await call(who, "PUT", path, json={"properties": properties, **more})


async def test_a_reseller_prices_those_below_it_and_everybody_is_told(bench: Bench, call: Caller) -> None:
    answer = await put(call, "east", MINE, {"sales_price": "2.20"}, reason="list of January")
    assert answer.status_code == 200, answer.text
    assert answer.json()["changes"] == [
        {"action": "added", "entity": "override:M-C:organisation:east-city", "detail": "sales_price=2.20"}
    ]
    shown = await call("east", "GET", MINE)
    assert shown.json() == {
        "plan": "M-C", "organisation": "east-city", "currency": None, "properties": {"sales_price": "2.20"}
    }  # fmt: skip
    assert shown.headers["etag"] == answer.headers["etag"]
    told = await _published(bench, b"override:M-C:organisation:east-city")
    assert told["properties"] == {"sales_price": "2.20"}
    audit = (await call("root", "GET", "/v1/audit", params={"entity": "override:M-C:organisation:east-city"})).json()
    assert [(one["who"], one["organisation"], one["before"], one["reason"]) for one in audit] == [
        ("east", "east", None, "list of January")
    ]
    assert audit[0]["after"]["properties"] == {"sales_price": "2.20"}
    again = await put(call, "east", MINE, {"sales_price": "2.20"})
    assert again.json()["changes"] == []


async def _published(bench: Bench, key: bytes) -> dict[str, Any]:
    """The first record of this key on ``catalog.changes``."""
    consumer = AIOKafkaConsumer(
        bench.kafka.topic("catalog.changes"),
        bootstrap_servers=bench.kafka.bootstrap_servers,
        auto_offset_reset="earliest",
    )
    async with consumer, asyncio.timeout(20):
        async for record in consumer:
            if record.key == key:
                found: dict[str, Any] = json.loads(record.value)
                return found
    raise AssertionError


@pytest.mark.parametrize(
    ("who", "method", "path", "status", "words"),
    [
        ("east", "PUT", "/v1/overrides/M-C/corp", 404, "there is no organisation 'corp'"),
        ("east", "PUT", "/v1/overrides/M-C/provider", 404, "there is no organisation 'provider'"),
        ("east", "PUT", "/v1/overrides/M-C/nobody", 404, "there is no organisation 'nobody'"),
        ("east", "PUT", "/v1/overrides/M-C/east", 403, "set by the level above"),
        ("east", "DELETE", "/v1/overrides/M-C/east", 403, "set by the level above"),
        ("east-city", "PUT", "/v1/overrides/M-C/bolt", 404, "there is no organisation 'bolt'"),
        ("east-reader", "PUT", "/v1/overrides/M-C/acme", 403, "this needs the role"),
        ("reader", "PUT", "/v1/overrides/M-C/acme", 403, "this needs the role"),
        ("west", "GET", "/v1/overrides/M-C/east", 404, "there is no organisation 'east'"),
        ("west", "GET", "/v1/overrides?organisation=acme", 404, "there is no organisation 'acme'"),
        ("west", "GET", "/v1/prices/M-C?organisation=acme", 404, "there is no organisation 'acme'"),
        ("root", "PUT", "/v1/overrides/M-C/nobody", 404, "there is no organisation 'nobody'"),
        ("root", "PUT", "/v1/overrides/M-X/acme", 404, "there is no plan 'M-X'"),
        ("east", "DELETE", "/v1/overrides/M-C/bolt", 404, "'bolt' says nothing"),
        ("east", "GET", "/v1/catalog", 403, "this needs the role"),
        ("acme-reader", "GET", "/v1/catalog", 403, "whole installation"),
        ("east", "GET", "/v1/audit", 403, "this needs the role"),
    ],
)
async def test_what_is_not_yours_is_not_there(  # noqa: PLR0917 - a table
    call: Caller, who: str, method: str, path: str, status: int, words: str
) -> None:
    body = {"json": {"properties": {"sales_price": "9"}}} if method == "PUT" else {}
    answer = await call(who, method, path, **body)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "properties", "currency", "field", "words"),
    [
        ("acme", {"sales_price": "1.99"}, None, "properties.sales_price", "plan 'M-C', sales_price: 1.99 EUR is below"),
        ("acme", {"sales_price": "3.99"}, "USD", "properties.sales_price", "3.99 USD is below the 2 EUR that 'east'"),
        ("acme", {"sales_price": "9"}, "CHF", "properties.sales_price", "there is no rate from CHF to EUR"),
        ("acme", {"gb_price": "0.4"}, None, "properties.gb_price", "0.4 EUR is below the 0.5 EUR"),
        # Bolt is where a gigabyte costs more: what is paid there counts, though the reseller is elsewhere.
        ("bolt", {"gb_price": "0.8"}, None, "properties.gb_price", "0.8 EUR is below the 0.9 EUR"),
        ("acme", {"gb": "11"}, None, "properties.gb", "11 is more than the 10 that is bought"),
        ("acme", {"gb": "Unlimited"}, None, "properties.gb", "'Unlimited' is more than the 10 that is bought"),
        ("acme", {"cost_price": "0"}, None, "properties.cost_price", "not charged by 'cost_price'; yours to set are"),
        ("acme", {"stock_code": "X"}, None, "properties.stock_code", "gb, gb_price, sales_price"),
        ("acme", {"sales_price": "cheap"}, None, "properties.sales_price", "cheap"),
    ],
)
async def test_a_reseller_does_not_sell_below_what_it_pays(  # noqa: PLR0917 - a table
    bench: Bench, call: Caller, path: str, properties: dict[str, str], currency: str | None, field: str, words: str
) -> None:
    before = await bench.fetch("SELECT (SELECT count(*) FROM audit_entry), (SELECT count(*) FROM plan_override)")
    answer = await put(call, "east", f"/v1/overrides/M-C/{path}", properties, currency=currency)
    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert words in answer.json()["errors"][0]["message"]
    assert await bench.fetch(
        "SELECT (SELECT count(*) FROM audit_entry), (SELECT count(*) FROM plan_override)"
    ) == before  # fmt: skip


@pytest.mark.parametrize(
    ("properties", "currency"),
    [({"sales_price": "2"}, None), ({"sales_price": "4.00"}, "USD"), ({"gb": "0", "gb_price": "0.50"}, None)],
)
async def test_what_it_pays_itself_is_not_below(call: Caller, properties: dict[str, str], currency: str | None) -> None:
    path = "/v1/overrides/M-C/acme"
    assert (await put(call, "east", path, properties, currency=currency)).status_code == 200
    gone = await call("east", "DELETE", path)
    assert (gone.status_code, gone.json()["override"]) == (200, None)
    assert (await call("east", "GET", path)).status_code == 404


async def test_the_provider_is_not_bound_by_it_and_its_words_stay(call: Caller) -> None:
    path = "/v1/overrides/M-C/acme"
    said = {"sales_price": "0.10", "stock_code": "ACME", "cost_price": "0.05", "hint": "internal"}
    assert (await put(call, "root", path, said)).status_code == 200
    # What the provider pays, and what nobody is charged by, is not shown to those below it.
    seen = await call("east", "GET", path)
    assert seen.json()["properties"] == {"sales_price": "0.10", "stock_code": "ACME"}
    listed = (await call("east", "GET", "/v1/overrides?organisation=acme")).json()
    assert [one["properties"] for one in listed] == [seen.json()["properties"]]
    mine = {"properties": {"sales_price": "2.50"}}
    kept = await call("east", "PUT", path, json=mine, headers={"if-match": seen.headers["etag"]})
    assert kept.status_code == 200, kept.text
    assert "0.05" not in kept.text
    assert kept.headers["etag"] == (await call("east", "GET", path)).headers["etag"]
    assert (await call("root", "GET", path)).json()["properties"] == said | {"sales_price": "2.50"}
    other = await put(call, "east", path, {"sales_price": "9"}, currency="USD")
    assert [one["field"] for one in other.json()["errors"]] == ["currency"]
    assert (await call("east", "DELETE", path)).json()["override"]["properties"] == {"stock_code": "ACME"}
    assert "sales_price" not in (await call("root", "GET", path)).json()["properties"]
    assert (await call("root", "DELETE", path)).status_code == 200


async def test_a_reseller_sees_its_price_and_not_who_says_it_above(call: Caller) -> None:
    await put(call, "root", MINE, {"sales_price": "2.20"})

    async def source(who: str, organisation: str) -> Any:
        found = (await call(who, "GET", f"/v1/prices/M-C?organisation={organisation}")).json()["properties"]
        return found["sales_price"]["value"], found["sales_price"]["source"], "cost_price" in found

    assert await source("root", "acme") == ("2.20", "organisation:east-city", True)
    assert await source("east", "acme") == ("2.20", "organisation:east-city", False)
    assert await source("east", "bolt") == ("2", "organisation:east", False)
    assert await source("west", "corp") == ("2.5", "organisation:west", False)
    assert await source("acme-reader", "acme") == ("2.20", "above", False)
    plan = (await call("root", "GET", "/v1/prices/M-C")).json()
    assert (plan["organisation"], plan["properties"]["sales_price"]["source"]) == (None, "plan")
    assert (await call("east", "GET", "/v1/prices/M-C")).json()["organisation"] == "east"


async def test_lists_hold_the_subtree_only_a_page_at_a_time(call: Caller) -> None:
    async def all_of(who: str, path: str, name: str) -> list[str]:
        found: list[str] = []
        following: str | None = f"{path}?limit=1"
        while following is not None:
            answer = await call(who, "GET", following)
            assert answer.status_code == 200, answer.text
            found += [one[name] for one in answer.json()]
            link = answer.headers.get("link")
            following = link.split(">")[0].removeprefix("<") if link is not None else None
        return found

    assert await all_of("root", "/v1/organisations", "id") == [
        "acme", "bolt", "corp", "east", "east-city", "provider", "west"
    ]  # fmt: skip
    assert await all_of("east", "/v1/organisations", "id") == ["acme", "bolt", "east", "east-city"]
    assert await all_of("west", "/v1/overrides", "organisation") == ["west"]
    assert await all_of("root", "/v1/overrides", "organisation") == ["east", "east-city", "west"]
    assert await all_of("east-reader", "/v1/plans", "id") == ["M-C", "N-C"]
    parents = {one["id"]: one["parent"] for one in (await call("east", "GET", "/v1/organisations")).json()}
    assert parents == {"acme": "east-city", "bolt": "east", "east": None, "east-city": "east"}


async def test_a_preview_is_of_ones_own_customers(call: Caller) -> None:
    path = "/v1/services/M/schema/preview"
    whole = (await call("root", "POST", path, json={})).json()
    mine = (await call("east", "POST", path, json={})).json()
    assert (whole["totals"][0]["before"]["lines"], mine["totals"][0]["before"]["lines"]) == (6, 4)
    assert (await call("east", "POST", path, json={"customer": "corp"})).status_code == 404
    one = await call("east", "POST", path, json={"customer": "acme"})
    assert one.json()["totals"][0]["before"]["lines"] == 2
