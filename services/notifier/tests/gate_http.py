"""The gate's HTTP interface, as several people with different tokens call it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from gate_bench import GateBench
from notifier.app import application
from prometheus_client import CollectorRegistry
from tallyport.access.tokens import Principal, Role, TokenStore

PEOPLE = (
    Principal("root", frozenset({Role.PROVIDER_ADMINISTRATOR})),
    Principal("advanced", frozenset({Role.PROVIDER_ADMINISTRATOR, Role.PROVIDER_ADVANCED_ADMINISTRATOR})),
    Principal("panel", frozenset({Role.SERVICE})),
    Principal("reader", frozenset({Role.VIEWER})),
    Principal("north", frozenset({Role.RESELLER_ADMINISTRATOR}), "var"),
    Principal("ann", frozenset({Role.CUSTOMER_ADMINISTRATOR}), "old"),
    Principal("bob", frozenset({Role.CUSTOMER_ADMINISTRATOR}), "old"),
    Principal("eve", frozenset({Role.CUSTOMER_ADMINISTRATOR}), "new"),
)
"""A person's token is his name."""

ASKER = {"id": "asker", "role": "customer_administrator", "language": "en"}
ADD_GOLD = [{"plan": "GOLD", "quantity_delta": "1"}]


class Caller:
    """Calls the gate as one of the people, or with any other token."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._asked = 0

    async def __call__(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {who}", **more.pop("headers", {})}
        return await self._client.request(method, path, headers=headers, **more)

    async def ok(self, who: str, method: str, path: str, **more: Any) -> Any:
        """A call that succeeds; its JSON."""
        answer = await self(who, method, path, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def ask(self, request_id: str, **fields: Any) -> dict[str, Any]:
        """Ask whether a user may be created for the customer that is asked; the request's view."""
        body = {
            "id": request_id,
            "action": "create_user",
            "customer": "old",
            "actor": ASKER,
            "items": ADD_GOLD,
            **fields,
        }
        found: dict[str, Any] = await self.ok("panel", "POST", "/v1/billable-actions", json=body)
        return found

    async def open(self, request_id: str, **fields: Any) -> tuple[str, str]:
        """Ask what somebody has to confirm: the confirmation's id and the hash of its quote."""
        found = await self.ask(request_id, **fields)
        assert found["state"] == "open", found
        return found["confirmation_id"], found["quote"]["sha256"]

    async def token(self, confirmation: str, **wanted: Any) -> str:
        """A token for one question."""
        found = await self.ok("panel", "POST", f"/v1/confirmations/{confirmation}/token", json=wanted)
        return str(found["token"])

    async def state(self, request_id: str) -> tuple[str | None, str | None]:
        """Decision and reason."""
        found = await self.ok("panel", "GET", f"/v1/billable-actions/{request_id}")
        return found["decision"], found["reason"]


@asynccontextmanager
async def calling(bench: GateBench) -> AsyncIterator[Caller]:
    """A caller of the bench's notifier."""
    tokens = TokenStore({hashlib.sha256(one.name.encode()).hexdigest(): one for one in PEOPLE})
    app = application(bench.notifier, bench.pool, tokens, CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gate") as client:
        yield Caller(client)
