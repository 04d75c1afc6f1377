"""The documents that the services serve: every operation says what it does, shows what it gives, and how it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from billing_engine.audit import api as audit
from billing_engine.billing_units import views as units
from billing_engine.billing_views import views as billing_views
from billing_engine.catalog import views as catalog
from billing_engine.directory import api as directory
from billing_engine.reconciliation import api as reconciliation
from billing_engine.transfers import views as transfers
from fastapi import FastAPI
from interfaces import applications
from notifier.actions import views as gate
from notifier.audit import api as gate_audit
from notifier.confirmations import api as confirmations
from notifier.messages import api as messages
from notifier.reconciliation import api as gate_reconciliation
from pydantic import BaseModel
from tallyport.access.tokens import TokenStore
from tallyport.contracts.catalog import CatalogDocument

ENGINE = "billing-engine"
GATE = "notifier"
ENGINE_MODULES = (audit, billing_views, catalog, directory, reconciliation, transfers, units)
GATE_MODULES = (gate_audit, confirmations, gate, gate_reconciliation, messages)
PROBLEM = {"$ref": "#/components/schemas/Problem"}


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FastAPI]:
    return applications(tmp_path_factory.mktemp("services"), TokenStore({}))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def has_example(media: dict[str, Any], document: dict[str, Any]) -> bool:
    if media.get("example") or media.get("examples"):
        return True
    schema = media.get("schema", {})
    schema = schema.get("items", schema)
    name = schema.get("$ref", "").rpartition("/")[2]
    return bool(document["components"]["schemas"].get(name, {}).get("examples"))


@pytest.mark.parametrize("service", [ENGINE, "notifier", "report-builder", "usage-collector"])
def test_every_operation_has_a_summary_and_its_problems(apps: dict[str, FastAPI], service: str) -> None:
    for name, operation in operations(apps[service].openapi()):
        assert len(operation["summary"].split()) > 2, f"{name}: {operation['summary']!r}"
        assert operation["security"] == [{"token": []}], name
        refused = {status: one for status, one in operation["responses"].items() if status.startswith("4")}
        assert {"401", "403"} <= refused.keys(), name
        assert not operation.get("parameters") or "422" in refused, name
        assert "requestBody" not in operation or {"400", "413", "422"} <= refused.keys(), name
        for status, one in refused.items():
            assert one["content"] == {"application/problem+json": {"schema": PROBLEM}}, f"{name}: {status}"
            assert one["description"], f"{name}: {status}"


@pytest.mark.parametrize("service", [ENGINE, GATE])
def test_every_answer_and_every_body_has_an_example(apps: dict[str, FastAPI], service: str) -> None:
    document = apps[service].openapi()
    without = []
    for name, operation in operations(document):
        good = next(one for status, one in operation["responses"].items() if status.startswith("2"))
        bodies = [
            *([("answer", good)] if "content" in good else []),
            *([("body", operation["requestBody"])] if "requestBody" in operation else []),
        ]
        content = [(what, one["content"]["application/json"]) for what, one in bodies
                   if "application/json" in one["content"]]  # fmt: skip
        without += [f"{name}: {what}" for what, media in content if not has_example(media, document)]
    assert without == []


def test_the_examples_are_what_the_models_say() -> None:
    CatalogDocument.model_validate(catalog.CATALOG_EXAMPLE)
    for module in (*ENGINE_MODULES, *GATE_MODULES):
        for model in vars(module).values():
            if isinstance(model, type) and issubclass(model, BaseModel):
                extra = model.model_config.get("json_schema_extra")
                for example in extra.get("examples", []) if isinstance(extra, dict) else []:
                    model.model_validate(example)


def test_the_document_is_served(apps: dict[str, FastAPI]) -> None:
    assert all(app.openapi_url == "/openapi.json" for app in apps.values())
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert "/openapi.json" in text
    for service in (ENGINE, GATE, "report-builder"):
        for name, _ in operations(apps[service].openapi()):
            assert f"`{name}`" in text, f"docs/api.md does not name {name}"
