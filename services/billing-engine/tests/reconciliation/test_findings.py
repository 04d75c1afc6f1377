"""What reconciling finds, that it stays quiet about what agrees, and that a finding can be acknowledged."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest
from billing_engine.collection import service as collection
from billing_engine.collection import store as collection_store
from billing_engine.reconciliation import service
from billing_engine.reconciliation.model import Acknowledgement, Finding, FindingKind, Thresholds
from engine_bench import Bench
from tallyport.contracts.collection import CollectionRun

TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=1)
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "S", "name": "Storage", "counters": [{"name": "GB", "unit": "GB", "aggregation": "last"}],
        "plans": [{"id": "S-U", "type": "user_plan", "name": "User", "currency": "EUR", "properties": {"per_gb": "1"}}],
        "billing_units": [
            {"id": "gb", "plan_type": "user_plan", "unit": "user", "quantity": {"counter": "GB"}, "price": "per_gb"}
        ],
    }],
}  # fmt: skip


def _customer(name: str, users: int, allocated: int) -> list[dict[str, Any]]:
    return [
        {"kind": "organisation", "id": name, "type": "customer", "name": name, "currency": "EUR"},
        {"kind": "service_instance", "id": f"{name}-s", "customer": name, "service": "S", "status": "Provisioned",
         "allocations": {"S-U": allocated}},
        *({"kind": "subscription", "id": f"{name}-{n}", "instance": f"{name}-s", "plan": "S-U", "status": "Provisioned",
           "user": {"upn": f"{n}@{name}", "name": str(n)}} for n in range(users)),
    ]  # fmt: skip


async def _reconcile(bench: Bench, batch_date: date = TODAY, *, quiet_days: int = 1) -> list[Finding]:
    async with bench.pool.acquire() as connection:
        return await service.reconcile(
            connection,
            batch_date=batch_date,
            usage_day=batch_date - timedelta(days=1),
            today=TODAY,
            thresholds=Thresholds(quiet_days=quiet_days),
        )


async def _batch(bench: Bench, day: date) -> None:
    """A batch that counts, as if the warehouse had confirmed it."""
    await bench.transfer(day)
    await bench.fetch("UPDATE transfer SET state = 'done' WHERE batch_date = $1", day)


async def test_what_does_not_agree_is_found_and_the_rest_is_not(bench: Bench) -> None:
    await bench.directory(*_customer("calm", 2, 2), *_customer("greedy", 3, 1), *_customer("quiet", 1, 1))
    await bench.caught_up()
    await bench.catalog(CATALOG)
    before, noon = DAY - timedelta(days=1), time(12)
    objects = ["calm-0", "calm-1", "greedy-0", "greedy-1", "greedy-2", "quiet-0"]
    two_days_ago = dict.fromkeys(objects, "100")
    yesterday = {
        "calm-0": "100",
        "calm-1": "101",
        "greedy-0": "100",
        "greedy-1": "100",
        "greedy-2": "400",
        "ghost": "1",
    }
    await bench.usage("GB", before, two_days_ago, measured_at=datetime.combine(before, noon, UTC))
    await bench.usage("GB", DAY, yesterday, measured_at=datetime.combine(DAY, noon, UTC))
    await bench.caught_up()
    await _batch(bench, DAY)
    await _batch(bench, TODAY)
    # As if the subscriptions had been so for long: whoever was entered today has not been quiet for a day.
    found = {(one.kind, one.subject) for one in await _reconcile(bench)}
    assert found == {
        (FindingKind.USAGE_OF_UNKNOWN, ("ghost",)),
        (FindingKind.BELOW_USE, ("greedy", "S", "S-U")),
        (FindingKind.TOTAL_MOVED, ("greedy", "EUR", str(TODAY))),
        (FindingKind.TOTAL_MOVED, ("quiet", "EUR", str(TODAY))),
    }
    tomorrow = {(one.kind, one.subject) for one in await _reconcile(bench, TODAY + timedelta(days=3))}
    assert (FindingKind.NO_USAGE, ("quiet", "quiet-0")) in tomorrow


async def test_usage_of_what_is_removed_is_found(bench: Bench) -> None:
    await bench.directory(*_customer("gone", 1, 1))
    await bench.caught_up()
    await bench.directory({"kind": "subscription", "id": "gone-0", "deleted": True})
    await bench.usage("GB", TODAY, {"gone-0": "5"}, measured_at=datetime.combine(TODAY, time(0), UTC))
    await bench.caught_up()
    found = [one for one in await _reconcile(bench, TODAY + timedelta(days=1)) if one.subject == ("gone", "gone-0")]
    assert [one.kind for one in found] == [FindingKind.USAGE_OF_REMOVED]


async def test_an_acknowledged_finding_keeps_its_reason_and_comes_back_after_its_date(bench: Bench) -> None:
    await bench.usage("GB", DAY, {"stranger": "1"}, measured_at=datetime.combine(DAY, time(1), UTC))
    await bench.caught_up()

    async def stranger() -> Finding:
        return next(one for one in await _reconcile(bench) if one.subject == ("stranger",))

    first = await stranger()
    assert first.acknowledged is None
    for until, counts in ((TODAY - timedelta(days=1), False), (TODAY, True)):
        said = Acknowledgement("ann", datetime.now(UTC), f"until {until}", until)
        async with bench.engine.messaging.unit_of_work() as uow:
            await service.acknowledge(uow, first.id, said)
        again = await stranger()
        assert again.id == first.id
        assert (again.acknowledged is not None) == counts


async def test_a_batch_says_which_sources_it_heard(bench: Bench) -> None:
    at = datetime.now(UTC)

    def run(source: str, state: str, days_ago: int, **more: Any) -> CollectionRun:
        ended = at - timedelta(days=days_ago)
        return CollectionRun.model_validate(
            {"run_id": f"{source}-{days_ago}", "source": source, "state": state, "started_at": ended,
             "finished_at": ended, "samples": 1, "objects": 1} | more
        )  # fmt: skip

    failure = {"failures": [{"place": "server-7", "reason": "away"}], "failure_count": 1}
    for one in (
        run("good", "succeeded", 0), run("half", "partial", 0, **failure), run("bad", "failed", 0),
        run("silent", "succeeded", 4), run("long-gone", "succeeded", 30),
    ):  # fmt: skip
        await bench.send("collection.runs", one.write(), key=one.run_id, type_=CollectionRun.TYPE)
    await bench.caught_up()
    day = TODAY - timedelta(days=20)
    await bench.transfer(day)
    await bench.fetch("UPDATE transfer SET state = 'done' WHERE state = 'running'")
    await bench.transfer(TODAY)
    (row,) = await bench.fetch(
        "SELECT completeness FROM transfer WHERE batch_date = $1 ORDER BY revision DESC LIMIT 1", TODAY
    )
    said = json.loads(row["completeness"])
    assert {name: value for name, value in said.items() if name.startswith(("sources", "unreached"))} == {
        "sources_expected": ["bad", "good", "half", "silent"],
        "sources_heard": ["good", "half"],
        "sources_missing": ["bad", "silent"],
        "sources_partial": ["half"],
        "unreached": ["half: server-7"],
    }


async def test_a_batch_says_when_inventories_were_last_read_and_whose_were_not(bench: Bench) -> None:
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def run(number: int, source: str, reached: int, not_reached: list[str], **more: Any) -> CollectionRun:
        ended = at + timedelta(hours=number)
        return CollectionRun.model_validate(
            {"run_id": f"{source}-inventory-{number}", "source": source, "kind": "inventory", "state": "partial",
             "started_at": ended, "finished_at": ended, "samples": 0, "objects": reached, "customers_reached": reached,
             "customers_not_reached": not_reached} | more
        )  # fmt: skip

    for one in (
        run(1, "tenants", 9, ["old-news"]),
        run(3, "tenants", 40, ["cust-7", "cust-9"], customers_not_reached_count=250),
        run(2, "cloud", 3, [], state="succeeded"),
    ):  # fmt: skip
        await bench.send("collection.runs", one.write(), key=one.run_id, type_=CollectionRun.TYPE)
    await bench.caught_up()
    await bench.fetch("UPDATE transfer SET state = 'done' WHERE state = 'running'")
    await bench.transfer(TODAY)
    (row,) = await bench.fetch(
        "SELECT completeness FROM transfer WHERE batch_date = $1 ORDER BY revision DESC LIMIT 1", TODAY
    )
    said = json.loads(row["completeness"])
    assert said["inventories"] == [
        "cloud: succeeded 2026-11-01T14:00:00+00:00, customers 3",
        "tenants: partial 2026-11-01T15:00:00+00:00, customers 40",
    ]
    assert said["customers_unreached"] == ["tenants: cust-7", "tenants: cust-9"]
    assert said["customers_unreached_count"] == 250
    assert not {"tenants", "cloud"} & set(said["sources_expected"]), "an inventory is no usage"


async def test_old_runs_go_and_the_newest_of_each_source_stays(bench: Bench) -> None:
    rows = await bench.fetch("SELECT DISTINCT source, kind FROM collection_run")
    async with bench.pool.acquire() as connection:
        with pytest.raises(asyncpg.InvalidParameterValueError, match="at least 35 days"):
            await collection.forget(connection, TODAY)
        old = datetime.now(UTC) - timedelta(days=300)
        runs = [
            CollectionRun(run_id=f"aged-{n}", source="aged", state="succeeded", started_at=old, samples=1, objects=1,
                          finished_at=old + timedelta(days=n))
            for n in range(3)
        ]  # fmt: skip
        await collection_store.put(connection, runs)
        assert await collection.forget(connection, TODAY - timedelta(days=40)) == 2
        left = await connection.fetch("SELECT run_id FROM collection_run WHERE source = 'aged'")
        sources = await connection.fetch("SELECT DISTINCT source, kind FROM collection_run WHERE source <> 'aged'")
    assert [row["run_id"] for row in left] == ["aged-2"]
    assert len(sources) == len(rows)
