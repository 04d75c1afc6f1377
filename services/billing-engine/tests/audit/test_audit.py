"""The audit log: what is in it, that nobody can change it, and that a change is found all the same."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from billing_engine.audit.model import Chain, Entry, follow
from engine_bench import Bench
from engine_http import CATALOG, Caller
from tallyport.postgres.pool import open_pool


async def entries(call: Caller, **query: Any) -> list[dict[str, Any]]:
    answer = await call("root", "GET", "/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_every_kind_of_change_is_noted_with_its_author_and_reason(call: Caller) -> None:
    changed = copy.deepcopy(CATALOG)
    changed["services"][0]["plans"][0]["properties"]["sales_price"] = "3.5"
    changed["conversion_rates"][0]["rate"] = "0.6"
    why = {"tallyport-reason": quote("Preisliste für März")}
    assert (await call("root", "PUT", "/v1/catalog", json=changed, headers=why)).status_code == 200
    noted = {one["entity"]: one for one in (await entries(call))[:2]}
    plan = noted["plan:M-C"]
    assert (plan["who"], plan["action"], plan["reason"]) == ("root", "changed", "Preisliste für März")
    assert [plan[side]["properties"]["sales_price"] for side in ("before", "after")] == ["3", "3.5"]
    assert noted["conversion_rate:USD>EUR:2020-01-01"]["after"]["rate"] == "0.6"

    path = "/v1/services/N/schema"
    changed["services"][1]["billing_units"] = [{"id": "fee", "plan_type": "customer_plan", "unit": "instance"}]
    changed["services"][1]["plans"][0]["properties"] = {"sales_price": "1"}
    assert (await call("root", "PUT", "/v1/catalog", json=changed)).status_code == 200
    assert (await call("root", "POST", f"{path}/publish", json={"reason": "first"})).status_code == 200
    changed["services"][1]["billing_units"][0]["unit_code"] = "X"
    assert (await call("root", "PUT", "/v1/catalog", json=changed)).status_code == 200
    assert (await call("root", "POST", f"{path}/revert", json={"version": 1, "reason": "no"})).status_code == 200
    assert [(one["action"], one["reason"]) for one in await entries(call, entity="service_schema:N")] == [
        ("published", "first")
    ]
    draft = (await entries(call, entity="draft:N"))[0]
    assert (draft["action"], draft["before"][0]["unit_code"], draft["after"][0]["unit_code"]) == ("changed", "X", "")

    begun = await call("root", "POST", "/v1/transfers", json={}, headers={"tallyport-reason": "a test"})
    assert begun.status_code == 202
    noted_transfer = (await entries(call, entity="transfer"))[0]
    assert (noted_transfer["action"], noted_transfer["reason"], noted_transfer["after"]["revision"]) == (
        "begun", "a test", 1
    )  # fmt: skip


async def test_it_is_read_by_entity_author_and_time_a_page_at_a_time(call: Caller) -> None:
    everything = await entries(call)
    assert [one["audit_no"] for one in everything] == list(range(len(everything), 0, -1))
    assert {one["entity"] for one in await entries(call, entity="override:M-C")} <= {
        one["entity"] for one in everything if one["entity"].startswith("override:M-C:")
    }
    assert await entries(call, entity="override:M") == []
    assert {one["who"] for one in await entries(call, who="root")} == {"root"}
    newest = everything[0]["at"]
    assert all(one["at"] >= newest for one in await entries(call, since=newest))
    first = await call("root", "GET", "/v1/audit", params={"limit": 2})
    link = first.headers["link"]
    assert link.endswith('>; rel="next"')
    second = await call("root", "GET", link.split(">")[0].removeprefix("<"))
    assert [one["audit_no"] for one in first.json() + second.json()] == [one["audit_no"] for one in everything[:4]]
    assert (await call("root", "GET", "/v1/audit?after=nonsense")).status_code == 422
    assert (await call("root", "GET", "/v1/audit?since=yesterday")).status_code == 422


async def test_the_service_can_only_add(bench: Bench) -> None:
    for statement in (
        "UPDATE audit_entry SET who = 'nobody'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "INSERT INTO audit_entry (audit_no, at, who, action, entity, reason) VALUES (9, now(), 'x', 'x', 'x', '')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await bench.fetch(statement)


async def test_what_was_changed_is_found(bench: Bench, call: Caller) -> None:
    whole = (await call("root", "GET", "/v1/audit/verify")).json()
    last = (await entries(call, limit=1))[0]
    assert whole == {
        "ok": True, "entries": last["audit_no"], "sha256": last["sha256"], "first_difference": None
    }  # fmt: skip
    head = f"{last['audit_no']}:{last['sha256']}"
    assert (await call("root", "GET", "/v1/audit/verify", params={"expected": head})).json()["ok"]
    cut = f"{last['audit_no'] + 1}:{last['sha256']}"
    assert not (await call("root", "GET", "/v1/audit/verify", params={"expected": cut})).json()["ok"]
    pool = await open_pool(bench.made.owner, "test")
    async with pool.acquire() as connection:
        for statement in ("UPDATE audit_entry SET who = 'nobody' WHERE audit_no = 2", "TRUNCATE audit_entry"):
            with pytest.raises(asyncpg.RestrictViolationError, match="only ever added to"):
                await connection.execute(statement)
        # Its owner can take the triggers away; the hashes still tell.
        await connection.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        await connection.execute("UPDATE audit_entry SET who = 'nobody' WHERE audit_no = 2")
        changed = (await call("root", "GET", "/v1/audit/verify")).json()
        await connection.execute("DELETE FROM audit_entry WHERE audit_no = 2")
        missing = (await call("root", "GET", "/v1/audit/verify")).json()
    await pool.close()
    assert (changed["ok"], changed["entries"]) == (False, 1)
    assert changed["first_difference"].startswith("entry 2 (")
    assert missing["first_difference"] == "entry 2 is missing"


def test_an_entry_put_in_the_place_of_another_is_found(chain: list[Entry]) -> None:
    assert follow(Chain(), chain).entries == 2
    found = follow(Chain(), [chain[0], chain[0]])
    assert (found.entries, found.first_difference) == (1, "entry 2 is missing")


@pytest.fixture
def chain() -> list[Entry]:
    at = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    one = Entry(1, at, "ann", None, "added", "plan:A", None, "{}", "", "-", "")
    one = replace(one, sha256=one.expected_sha256("-"))
    two = Entry(2, at, "ann", "var", "removed", "plan:A", "{}", None, "", one.sha256, "")
    return [one, replace(two, sha256=two.expected_sha256(one.sha256))]
