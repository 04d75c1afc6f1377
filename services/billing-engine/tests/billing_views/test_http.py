"""Registered views over HTTP, and what the published schema tells of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio
from billing_engine.app import application
from engine_bench import Bench
from prometheus_client import CollectorRegistry
from tallyport.access.tokens import TokenStore

ROOT = Path(__file__).resolve().parents[4]
CATALOG = {"services": [{
    "id": "HE", "name": "Exchange", "billing_units": [{"id": "fee", "plan_type": "customer_plan", "unit": "instance"}],
    "plans": [{"id": "HE-1", "type": "customer_plan", "name": "One", "currency": "EUR",
               "properties": {"sales_price": "1", "price_per_mb": "0.01"}}],
}]}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(bench: Bench, tmp_path_factory: object) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path_factory.mktemp("tokens")  # type: ignore[attr-defined]
    entry = {"name": "ann", "sha256": hashlib.sha256(b"word").hexdigest(), "roles": ["provider_administrator"]}
    viewer = {"name": "vic", "sha256": hashlib.sha256(b"look").hexdigest(), "roles": ["viewer"]}
    file = folder / "tokens.json"
    file.write_text(json.dumps([entry, viewer]), encoding="utf-8")
    file.chmod(0o600)
    app = application(bench.engine, bench.pool, TokenStore.from_file(file), CollectorRegistry())
    headers = {"authorization": "Bearer word"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://engine", headers=headers) as one:
        yield one


async def test_from_a_script_to_a_published_version(bench: Bench, client: httpx.AsyncClient) -> None:
    await bench.catalog(CATALOG)
    script = (ROOT / "examples" / "views" / "excess-usage.tsql.sql").read_text(encoding="utf-8")
    answer = await client.post("/v1/billing-views/import", json={"script": script})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "neither the script nor the request says: service"
    answer = await client.post("/v1/billing-views/import", json={"script": script, "service": "HE"})
    assert answer.status_code == 201, answer.text
    (done,) = answer.json()["registered"]
    said = (done["name"], done["version"], done["plan_type"], done["quantity_column"], done["registered_by"])
    assert said == ("excess-usage", 1, "customer_plan", "ExcessMB", "ann")

    (listed,) = (await client.get("/v1/billing-views")).json()
    assert (listed["label"], "sql" in listed) == ("Per Instance - Excess Usage", False)
    (version,) = (await client.get("/v1/billing-views/excess-usage")).json()["versions"]
    assert version["source_sql"].startswith("-- The same")
    assert "WITH (NOLOCK)" in version["source_sql"]
    assert "dbo.isnumeric" in version["sql"]
    assert (await client.get("/v1/billing-views/nobody")).status_code == 404

    unit = {"id": "excess", "plan_type": "customer_plan", "unit": {"view": "nobody"}, "price": "price_per_mb"}
    document = {"services": [CATALOG["services"][0] | {"billing_units": [unit]}]}
    answer = await client.put("/v1/catalog", json=document)
    assert [one["field"] for one in answer.json()["errors"]] == ["services.0.billing_units.0.unit.view"]
    unit["unit"] = {"view": "excess-usage"}
    assert (await client.put("/v1/catalog", json=document)).status_code == 200
    shown = (await client.get("/v1/services/HE/schema")).json()
    assert [view["name"] for view in shown["views"]] == ["excess-usage"]
    assert shown["draft"][0]["unit"] == {"view": "excess-usage", "version": None}
    # The catalogue that is read can be written again.
    again = (await client.get("/v1/catalog")).json()
    assert (await client.put("/v1/catalog", json=again)).json()["changes"] == []
    answer = await client.post("/v1/services/HE/schema/publish", json={"reason": "excess"})
    (published,) = answer.json()["units"]
    assert (published["unit"], published["quantity"]) == (
        {"view": "excess-usage", "version": 1}, {"column": "ExcessMB"},
    )  # fmt: skip
    assert not (await client.post("/v1/services/HE/schema/publish", json={})).json()["changed"]
    assert (await client.get("/v1/services/HE/schema/diff")).json()["changes"] == []
    assert (await client.post("/v1/services/HE/schema/preview", json={})).status_code == 200


async def test_the_views_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    sql = "SELECT instance_id AS object_id, plan_id, NULL AS description, NULL AS name, 1 AS q FROM olm.instances"
    for name in ("page-a", "page-b", "page-c"):
        given = {
            "name": name, "service": "HE", "plan_type": "customer_plan", "label": "V", "quantity_column": "q",
            "sql": f"{sql} WHERE service = 'HE'",
        }  # fmt: skip
        assert (await client.post("/v1/billing-views", json=given)).is_success
    everything = [one["name"] for one in (await client.get("/v1/billing-views")).json()]
    assert everything == sorted(everything)
    found: list[str] = []
    path: str | None = "/v1/billing-views?limit=2"
    while path is not None:
        answer = await client.get(path)
        found += [one["name"] for one in answer.json()]
        path = answer.links["next"]["url"] if "next" in answer.links else None
    assert found == everything
    assert (await client.get("/v1/billing-views", params={"after": "nonsense"})).status_code == 422


async def test_refusals_name_the_field_and_the_reason(client: httpx.AsyncClient) -> None:
    given = {
        "name": "v", "service": "HE", "plan_type": "customer_plan", "label": "V", "quantity_column": "q",
        "sql": "SELECT * FROM public.plan, public.outbox",
    }  # fmt: skip
    answer = await client.post("/v1/billing-views", json=given)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [one["field"] for one in answer.json()["errors"]] == ["sql", "sql"]
    answer = await client.post("/v1/billing-views", json=given | {"sql": "SELECT 1 AS q"})
    assert "there is no column object_id" in answer.json()["detail"]
    answer = await client.post("/v1/billing-views", json=given, headers={"authorization": "Bearer look"})
    assert answer.status_code == 403
    assert (await client.post("/v1/billing-views", json=given | {"name": "No Name"})).status_code == 422
