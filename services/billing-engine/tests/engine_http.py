"""The engine's HTTP interface, as several people with different tokens call it."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
from billing_engine.app import application
from engine_bench import Bench
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from tallyport.access.tokens import Principal, Role, TokenStore

PEOPLE = (
    Principal("root", frozenset({Role.PROVIDER_ADMINISTRATOR})),
    Principal("reader", frozenset({Role.VIEWER})),
    Principal("east", frozenset({Role.RESELLER_ADMINISTRATOR}), "east"),
    Principal("east-reader", frozenset({Role.RESELLER_VIEWER}), "east"),
    Principal("east-city", frozenset({Role.RESELLER_ADMINISTRATOR}), "east-city"),
    Principal("west", frozenset({Role.RESELLER_ADMINISTRATOR}), "west"),
    Principal("acme-reader", frozenset({Role.VIEWER}), "acme"),
)
"""A person's token is his name."""


def token_store() -> TokenStore:
    return TokenStore({hashlib.sha256(one.name.encode()).hexdigest(): one for one in PEOPLE})


def face(bench: Bench) -> FastAPI:
    return application(bench.engine, bench.pool, token_store(), CollectorRegistry())


class Caller:
    """Calls the engine as one of the people."""

    def __init__(self, app: Any) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://engine")

    async def __call__(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {who}", **more.pop("headers", {})}
        return await self._client.request(method, path, headers=headers, **more)

    async def close(self) -> None:
        await self._client.aclose()


def organisation(name: str, type_: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    return {"kind": "organisation", "id": name, "type": type_, "parent": parent, "name": name.title(), **more}


TREE = [
    organisation("provider", "service_provider", currency="EUR"),
    organisation("east", "value_added_reseller", "provider"),
    organisation("east-city", "value_added_reseller", "east"),
    organisation("acme", "customer", "east-city"),
    organisation("bolt", "customer", "east", location="dear"),
    organisation("west", "value_added_reseller", "provider"),
    organisation("corp", "customer", "west"),
    *(
        {"kind": "service_instance", "id": f"{one}-m", "customer": one, "service": "M", "plan": "M-C",
         "status": "Provisioned"}
        for one in ("acme", "bolt", "corp")
    ),
]  # fmt: skip

CATALOG: dict[str, Any] = {
    "services": [
        {
            "id": "M", "name": "Mail", "counters": [{"name": "Disk", "unit": "MB"}],
            "plans": [
                {"id": "M-C", "type": "customer_plan", "name": "Mail", "currency": "EUR",
                 "properties": {"sales_price": "3", "cost_price": "1", "stock_code": "M", "gb": "10",
                                "gb_price": "0.5"}},
            ],
            "billing_units": [
                {"id": "fee", "plan_type": "customer_plan", "unit": "instance"},
                {"id": "disk", "plan_type": "customer_plan", "unit": "instance", "quantity": {"counter": "Disk"},
                 "price": "gb_price", "price_model": {"model": "included", "included": "gb"}},
            ],
            "overrides": [
                {"plan": "M-C", "organisation": "east", "properties": {"sales_price": "2"}},
                {"plan": "M-C", "organisation": "west", "properties": {"sales_price": "2.5"}},
                {"plan": "M-C", "location": "dear", "properties": {"gb_price": "0.9"}},
            ],
        },
        {
            "id": "N", "name": "Net",
            "plans": [{"id": "N-C", "type": "customer_plan", "name": "Net", "currency": "EUR"}],
        },
    ],
    "conversion_rates": [{"from": "USD", "to": "EUR", "rate": "0.5", "valid_from": "2020-01-01"}],
}  # fmt: skip
