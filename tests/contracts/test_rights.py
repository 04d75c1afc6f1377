"""Every operation of every service, and who may call it: what is not in this table is a mistake."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from interfaces import applications
from structlog.testing import capture_logs
from tallyport.access.tokens import Principal, Role, TokenStore

ROOT = Principal("root", frozenset({Role.PROVIDER_ADMINISTRATOR}))
ADVANCED = Principal("advanced", frozenset({Role.PROVIDER_ADMINISTRATOR, Role.PROVIDER_ADVANCED_ADMINISTRATOR}))
VIEWER = Principal("viewer", frozenset({Role.VIEWER}))
SERVICE = Principal("service", frozenset({Role.SERVICE}))
CUSTOMER = Principal("customer", frozenset({Role.CUSTOMER_ADMINISTRATOR}), "acme")
BOUND = Principal("bound-viewer", frozenset({Role.VIEWER}), "acme")
RESELLER = Principal("reseller", frozenset({Role.RESELLER_ADMINISTRATOR}), "var")
RESELLER_VIEWER = Principal("reseller-viewer", frozenset({Role.RESELLER_VIEWER}), "var")
EVERYBODY = (ROOT, ADVANCED, VIEWER, SERVICE, CUSTOMER, BOUND, RESELLER, RESELLER_VIEWER)

ADMIN = {ROOT, ADVANCED}
PRIVILEGED = {ADVANCED}
READ = ADMIN | {VIEWER}
READ_OR_SERVE = READ | {SERVICE}
SERVE = ADMIN | {SERVICE}
SUBTREE = READ | {BOUND, RESELLER, RESELLER_VIEWER}
SELL = ADMIN | {RESELLER}
REQUEST = SERVE | {CUSTOMER, RESELLER, RESELLER_VIEWER}

MAY: dict[str, dict[str, set[Principal]]] = {
    "billing-engine": {
        "GET /v1/status": READ,
        "GET /v1/catalog": READ,
        "PUT /v1/catalog": ADMIN,
        "POST /v1/catalog/diff": READ,
        "GET /v1/overrides": SUBTREE,
        "GET /v1/overrides/{plan}/{organisation}": SUBTREE,
        "PUT /v1/overrides/{plan}/{organisation}": SELL,
        "DELETE /v1/overrides/{plan}/{organisation}": SELL,
        "GET /v1/plans": SUBTREE,
        "GET /v1/prices/{plan}": SUBTREE,
        "GET /v1/services/{service}/schema": READ,
        "GET /v1/services/{service}/schema/diff": READ,
        "GET /v1/services/{service}/schema/history": READ,
        "POST /v1/services/{service}/schema/preview": SELL,
        "POST /v1/services/{service}/schema/publish": ADMIN,
        "POST /v1/services/{service}/schema/revert": ADMIN,
        "GET /v1/billing-views": READ,
        "POST /v1/billing-views": ADMIN,
        "GET /v1/billing-views/{name}": READ,
        "POST /v1/billing-views/import": ADMIN,
        "GET /v1/directory/waiting": READ,
        "GET /v1/organisations": SUBTREE,
        "POST /v1/transfers": ADMIN,
        "GET /v1/transfers": READ,
        "POST /v1/transfers/{batch_date}/cancel": ADMIN,
        "GET /v1/transfers/{batch_date}": READ,
        "GET /v1/batches": READ,
        "POST /v1/batches/{batch_date}/{revision}/verify": READ,
        "GET /v1/lines/{batch_date}/{customer}/{unit}/{object_id}": READ,
        "GET /v1/late-usage": READ,
        "GET /v1/adjustments": READ,
        "POST /v1/adjustments": ADMIN,
        "POST /v1/adjustments/{number}/approve": ADMIN,
        "POST /v1/adjustments/{number}/withdraw": ADMIN,
        "GET /v1/reconciliation": READ,
        "POST /v1/findings/{finding_id}/acknowledge": ADMIN,
        "GET /v1/audit": ADMIN,
        "GET /v1/audit/verify": ADMIN,
    },
    "notifier": {
        "GET /v1/status": READ,
        "POST /v1/billable-actions": SERVE,
        "GET /v1/billable-actions/{request_id}": READ_OR_SERVE,
        "GET /v1/settings/actions": READ_OR_SERVE,
        "GET /v1/settings/actions/{action}": READ_OR_SERVE,
        "PUT /v1/settings/actions/{action}": PRIVILEGED,
        "GET /v1/actions": READ_OR_SERVE,
        "PUT /v1/actions/{action}": PRIVILEGED,
        "DELETE /v1/actions/{action}": PRIVILEGED,
        "GET /v1/customers/{customer}/confirmation-switch": READ_OR_SERVE | {BOUND, RESELLER, RESELLER_VIEWER},
        "PUT /v1/customers/{customer}/confirmation-switch": SELL,
        "GET /v1/gate/reconciliation": READ,
        "GET /v1/gate/break-glass": READ_OR_SERVE,
        "POST /v1/gate/break-glass": PRIVILEGED,
        "DELETE /v1/gate/break-glass": PRIVILEGED,
        "GET /v1/messages": READ,
        "PUT /v1/messages/{action}/{language}": PRIVILEGED,
        "DELETE /v1/messages/{action}/{language}": PRIVILEGED,
        "POST /v1/messages/{action}/preview": READ,
        "GET /v1/audit": ADMIN,
        "GET /v1/audit/verify": ADMIN,
        "GET /v1/audit/export": ADMIN,
        "POST /v1/billable-actions/{request_id}/outcome": SERVE,
        "POST /v1/confirmations/{confirmation_id}/answer": ADMIN | {CUSTOMER},
        "POST /v1/confirmations/{confirmation_id}/token": SERVE,
        # With the token of one confirmation, which no principal has.
        "GET /v1/confirmation": set(),
        "POST /v1/confirmation/answer": set(),
        "GET /v1/confirmations": READ | {CUSTOMER, BOUND},
    },
    "report-builder": {
        "GET /v1/status": READ,
        "GET /v1/batches": READ,
        "POST /v1/batches/{batch_date}/{revision}/verify": READ,
        "POST /v1/reports": REQUEST,
        "GET /v1/reports": REQUEST | {VIEWER, BOUND},
        "GET /v1/reports/{report_id}": REQUEST | {VIEWER, BOUND},
        "POST /v1/reports/{report_id}/cancel": REQUEST,
        "GET /v1/reports/{report_id}/parts/{number}": REQUEST | {VIEWER, BOUND},
        "POST /v1/reports/{report_id}/parts/{number}/link": REQUEST | {VIEWER, BOUND},
        "GET /v1/reports/{report_id}/downloads": ADMIN,
        "GET /v1/schedules": REQUEST | {VIEWER, BOUND},
        "GET /v1/schedules/{name}": REQUEST | {VIEWER, BOUND},
        "PUT /v1/schedules/{name}": ADMIN | {CUSTOMER, RESELLER},
        "DELETE /v1/schedules/{name}": ADMIN | {CUSTOMER, RESELLER},
        "GET /v1/schedules/{name}/runs": REQUEST | {VIEWER, BOUND},
        "GET /v1/webhooks": READ,
        "GET /v1/webhooks/{name}/deliveries": READ,
        "POST /v1/webhooks/{name}/replay": ADMIN,
    },
    "usage-collector": {
        "GET /v1/status": READ,
        "GET /v1/sources": READ_OR_SERVE,
        "POST /v1/runs": SERVE,
        "GET /v1/runs": READ_OR_SERVE,
    },
}
OPEN = {"/health/live", "/health/ready", "/metrics", "/openapi.json", "/downloads/{text}"}


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FastAPI]:
    tokens = TokenStore({hashlib.sha256(one.name.encode()).hexdigest(): one for one in EVERYBODY})
    return applications(tmp_path_factory.mktemp("services"), tokens)


def operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path


def filled(path: str) -> str:
    """The path with something for each parameter; who is refused is refused whatever it is."""
    path = path.replace("{finding_id}", "0123456789abcdef")
    return path.replace("{batch_date}", "2026-01-01").replace("{", "").replace("}", "")


@pytest.mark.parametrize("service", MAY)
def test_every_operation_is_in_the_table(apps: dict[str, FastAPI], service: str) -> None:
    assert {f"{method} {path}" for method, path in operations(apps[service])} == MAY[service].keys()


@pytest.mark.parametrize("service", MAY)
async def test_nobody_gets_in_without_business(apps: dict[str, FastAPI], service: str) -> None:
    transport = httpx.ASGITransport(apps[service])
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{service}") as http:
        for method, path in operations(apps[service]):
            place = filled(path)
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic root"}):
                answer = await http.request(method, place, headers=headers)
                assert answer.status_code == 401, f"{method} {path}"
                assert answer.headers["www-authenticate"] == "Bearer"
            for one in EVERYBODY:
                if one not in MAY[service][f"{method} {path}"]:
                    answer = await http.request(method, place, headers={"authorization": f"Bearer {one.name}"})
                    assert answer.status_code == 403, f"{one.name}: {method} {path}"
                    assert answer.json()["title"] == "Forbidden"


@pytest.mark.parametrize("service", MAY)
async def test_who_has_business_is_not_refused(apps: dict[str, FastAPI], service: str) -> None:
    transport = httpx.ASGITransport(apps[service], raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{service}") as http:
        for method, path in operations(apps[service]):
            if path == "/v1/status":
                continue  # it asks the broker, and waits for it
            for one in MAY[service][f"{method} {path}"]:
                # There is nothing behind it: any answer but a refusal means that it would have begun.
                with capture_logs():
                    answer = await http.request(method, filled(path), headers={"authorization": f"Bearer {one.name}"})
                assert answer.status_code not in {401, 403}, f"{one.name}: {method} {path}"


@pytest.mark.parametrize("service", MAY)
async def test_what_is_not_there_is_a_problem_too(apps: dict[str, FastAPI], service: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(apps[service]), base_url="http://x") as http:
        for method, path, status in (("GET", "/v1/nothing", 404), ("PATCH", "/v1/status", 405)):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("service", MAY)
def test_what_needs_no_token_is_named(apps: dict[str, FastAPI], service: str) -> None:
    described = {path for _, path in operations(apps[service])}
    assert all(path.startswith("/v1/") for path in described)
    hidden = {getattr(route, "path", None) for route in apps[service].routes} - described - {None}
    assert hidden <= OPEN | {"/openapi.json"}


@pytest.mark.parametrize(
    ("roles", "organisation", "words"),
    [
        (["reseller_administrator"], None, "a reseller's role needs an organisation"),
        (["reseller_viewer", "viewer"], None, "a reseller's role needs an organisation"),
        (["provider_administrator"], "var", "is not bounded by an organisation"),
        (["provider_advanced_administrator"], None, "only a provider_administrator can have the advanced privilege"),
    ],
)
def test_a_token_whose_roles_and_bounds_contradict_each_other_is_refused(
    tmp_path: Path, roles: list[str], organisation: str | None, words: str
) -> None:
    entry: dict[str, Any] = {"name": "odd", "sha256": "00", "roles": roles, "organisation": organisation}
    file = tmp_path / "tokens.json"
    file.write_text(httpx.Request("POST", "http://x", json=[entry]).content.decode())
    with pytest.raises(ValueError, match=words):
        TokenStore.from_file(file)
