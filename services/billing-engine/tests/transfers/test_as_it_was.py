"""A batch that was missed is made up for from the state as it was, in order, and old days are let go."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from billing_engine.billing_views.model import Dates, Definition
from billing_engine.billing_views.service import register
from billing_engine.catalog import service as catalog_service
from billing_engine.transfers import store
from billing_engine.transfers.daily import DailyTransfers, Retention
from billing_engine.transfers.service import TransferService, verify
from engine_bench import Bench
from tallyport.clock import FixedClock
from tallyport.contracts.catalog import CatalogDocument
from tallyport.testing.waiting import until

TODAY = datetime.now(UTC).date()
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "W", "name": "Web", "counters": [{"name": "Hits", "unit": "hit", "aggregation": "sum"}],
        "plans": [
            {"id": "W-C", "type": "customer_plan", "name": "Site", "currency": "EUR",
             "properties": {"sales_price": "3"}},
            {"id": "W-U", "type": "user_plan", "name": "Seat", "currency": "EUR",
             "properties": {"sales_price": "5.00", "hit_price": "0.5"}},
        ],
        "billing_units": [
            {"id": "site", "plan_type": "customer_plan", "unit": "instance", "description": "{customer_name}"},
            {"id": "hits", "plan_type": "user_plan", "unit": "user", "quantity": {"counter": "Hits"},
             "price": "hit_price"},
        ],
        "overrides": [{"plan": "W-U", "organisation": "acme", "properties": {"hit_price": "0.4"}}],
    }],
    "non_billable": [{"id": "staff", "reason": "staff", "user": "staff*"}],
}  # fmt: skip


def _organisation(id_: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "organisation", "id": id_, "type": "customer", "name": id_, "currency": "EUR"} | fields


def _instance(name: str, **fields: Any) -> dict[str, Any]:
    fields = {"customer": name, "plan": "W-C", "status": "Provisioned"} | fields
    return {"kind": "service_instance", "id": f"{name}-w", "service": "W"} | fields


def _user(name: str, customer: str, **fields: Any) -> dict[str, Any]:
    user = {"instance": f"{customer}-w", "plan": "W-U", "status": "Provisioned", "user": {"upn": name, "name": name}}
    return {"kind": "subscription", "id": name} | user | fields


async def _now(bench: Bench) -> datetime:
    moment: datetime = (await bench.fetch("SELECT clock_timestamp() AS now"))[0]["now"]
    return moment


async def _make_up_for(bench: Bench, day: date, as_of: datetime) -> list[dict[str, Any]]:
    async with bench.engine.messaging.unit_of_work() as uow:
        await store.create(
            uow.connection,
            batch_date=day,
            revision=1,
            usage_day=TODAY - timedelta(days=1),
            by="test",
            at=uow.now(),
            as_of=as_of,
        )
        uow.after_commit(bench.engine.runner.wake)

    async def frozen() -> bool:
        row = (await bench.fetch("SELECT step, reason FROM transfer WHERE batch_date = $1", day))[0]
        assert row["reason"] is None
        return bool(row["step"] == "await-warehouse")

    await until(frozen)
    return await bench.lines(day, 1)


async def test_a_missed_batch_is_what_it_would_have_been(bench: Bench) -> None:
    noon = datetime.combine(TODAY - timedelta(days=1), time(12), UTC)
    before = await _now(bench)
    await bench.directory(
        _organisation("acme"), _instance("acme"), _user("ann", "acme"), _user("staff-1", "acme"),
        _organisation("gone"), _instance("gone"),
    )  # fmt: skip
    await bench.catalog(CATALOG)
    await bench.usage("Hits", TODAY - timedelta(days=1), {"ann": "10", "staff-1": "4"}, measured_at=noon)
    await bench.caught_up()
    as_it_was = await bench.transfer()
    assert {(line["object_id"], line["total"]) for line in as_it_was} == {
        ("acme-w", "3.00"), ("gone-w", "3.00"), ("ann", "4.00"), ("staff-1", "0.00"),
    }  # fmt: skip
    then = await _now(bench)

    await bench.directory(
        _organisation("acme", name="Acme & Sons"), _organisation("late"), _instance("late"),
        _user("ann", "acme", status="NotProvisioned"), _user("new", "acme"), _instance("gone", deleted=True),
    )  # fmt: skip
    later = copy.deepcopy(CATALOG)
    later["services"][0]["plans"][1]["properties"]["hit_price"] = "9"
    later["services"][0]["overrides"] = []
    later["services"][0]["billing_units"][1]["unit_code"] = "NEW"
    later["non_billable"] = []
    await bench.catalog(later)
    await bench.caught_up()

    assert await _make_up_for(bench, TODAY - timedelta(days=3), then) == as_it_was
    now_so = await _make_up_for(bench, TODAY - timedelta(days=2), await _now(bench))
    assert {(line["object_id"], line["total"], line["unit_code"]) for line in now_so} == {
        ("acme-w", "3.00", ""), ("late-w", "3.00", ""), ("ann", "90.00", "NEW"), ("staff-1", "36.00", "NEW"),
        ("new", "0.00", "NEW"),
    }  # fmt: skip
    assert await _make_up_for(bench, TODAY - timedelta(days=4), before) == []


async def test_a_registered_view_sees_the_state_as_it_was(bench: Bench) -> None:
    crowd = Definition(
        name="crowd",
        service="V",
        plan_type="customer_plan",
        label="Users",
        quantity_column="users",
        sql="SELECT i.instance_id AS object_id, i.plan_id, max(i.customer_id) AS description, max(p.value) AS name, "
        "count(s.subscription_id)::numeric AS users FROM olm.instances i "
        "LEFT JOIN olm.subscriptions s ON s.instance_id = i.instance_id "
        "JOIN olm.plan_properties p ON (p.customer_id, p.plan_id, p.name) = (i.customer_id, i.plan_id, 'sales_price') "
        "WHERE i.service = 'V' GROUP BY i.instance_id, i.plan_id",
    )
    unit = {"id": "users", "plan_type": "customer_plan", "unit": {"view": "crowd"}, "quantity": {"column": "users"}}
    plan = {"id": "V-C", "type": "customer_plan", "name": "Crowd", "currency": "EUR"}
    service = {"id": "V", "name": "V", "plans": [plan | {"properties": {"sales_price": "2"}}], "billing_units": []}
    async with bench.engine.messaging.unit_of_work() as uow:
        await catalog_service.apply(uow, CatalogDocument.model_validate({"services": [service]}))
    of_v = {"service": "V", "plan": "V-C"}
    await bench.directory(
        _organisation("many"), _instance("many", **of_v), _user("m-1", "many"), _user("m-2", "many"),
        _organisation("few"), _instance("few", **of_v),
    )  # fmt: skip
    await bench.caught_up()
    views, unit_of_work = bench.engine.views, bench.engine.messaging.unit_of_work
    await register(bench.pool, unit_of_work, views, crowd, dates=Dates(TODAY, TODAY - timedelta(days=1)), by="ann")
    await bench.catalog({"services": [service | {"billing_units": [unit]}]})
    then = await _now(bench)
    dearer = plan | {"properties": {"sales_price": "3"}}
    await bench.directory(_user("m-1", "many", deleted=True), _user("f-1", "few"))
    await bench.catalog({"services": [service | {"plans": [dearer], "billing_units": [unit]}]})
    await bench.caught_up()

    def bill(lines: list[dict[str, Any]]) -> list[tuple[str, ...]]:
        keys = ("object_id", "quantity", "name", "total")
        return [tuple(line[key] for key in keys) for line in lines if line["service"] == "V"]

    before = await _make_up_for(bench, TODAY - timedelta(days=6), then)
    after = await _make_up_for(bench, TODAY - timedelta(days=5), await _now(bench))
    assert bill(before) == [("few-w", "0", "2", "0.00"), ("many-w", "2", "2", "4.00")]
    assert bill(after) == [("few-w", "1", "3", "3.00"), ("many-w", "1", "3", "3.00")]


async def test_what_a_row_said_before_cannot_be_edited(bench: Bench) -> None:
    async with bench.pool.acquire() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE row_version SET valid_from = now()")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM row_version")


async def test_missed_days_are_made_up_for_in_order_and_a_failed_one_holds_up_the_rest(bench: Bench) -> None:
    zone, at, day = ZoneInfo("Europe/Berlin"), time(3), TODAY + timedelta(days=100)
    clock = FixedClock(datetime.combine(day, time(4), zone).astimezone(UTC))
    transfers = TransferService(
        unit_of_work=bench.engine.messaging.unit_of_work,
        clock=clock,
        zone=zone,
        usage_day_offset=1,
        daily_at=at,
        on_begun=bench.engine.runner.wake,
    )
    daily = DailyTransfers(pool=bench.pool, transfers=transfers, clock=clock, zone=zone, at=at, catch_up_days=5)

    async def settle(begun: date | None, state: str) -> None:
        """What the warehouse would say."""

        async def waits() -> bool:
            rows = await bench.fetch("SELECT step FROM transfer WHERE batch_date = $1", begun)
            return bool(rows[0]["step"] == "await-warehouse")

        await until(waits)
        await bench.fetch("UPDATE transfer SET state = $2 WHERE batch_date = $1", begun, state)

    assert await daily.look() == day
    assert await daily.look() is None
    await settle(day, "done")
    clock.instant += timedelta(days=2)
    assert await daily.look() == day + timedelta(days=1)
    missed_day = day + timedelta(days=1)
    missed = await bench.fetch("SELECT as_of, requested_by FROM transfer WHERE batch_date = $1", missed_day)
    assert missed[0]["as_of"] == datetime.combine(missed_day, at, zone)
    assert missed[0]["requested_by"] == "schedule"
    await settle(missed_day, "failed")
    assert await daily.look() is None
    await settle(missed_day, "done")
    assert await daily.look() == day + timedelta(days=2)
    todays = await bench.fetch("SELECT as_of FROM transfer WHERE batch_date = $1", day + timedelta(days=2))
    assert todays[0]["as_of"] is None


async def test_old_days_go_and_the_last_weeks_never_do(bench: Bench) -> None:
    old = TODAY - timedelta(days=300)
    async with bench.pool.acquire() as connection:
        await connection.execute("SELECT ensure_usage_day($1), ensure_batch_date($1)", old)
        with pytest.raises(asyncpg.InvalidParameterValueError, match="at least 35 days"):
            await connection.execute("SELECT drop_usage_before($1)", TODAY)
    keep_all = Retention(bench.pool, FixedClock(datetime.now(UTC)), usage=400, versions=800, batches=None, runs=400)
    assert await keep_all.forget() == {"usage": 0, "versions": 0, "runs": 0}
    keep_less = Retention(bench.pool, FixedClock(datetime.now(UTC)), usage=200, versions=35, batches=200, runs=35)
    assert await keep_less.forget() == {"usage": 1, "versions": 0, "batches": 1, "runs": 0}
    tables = await bench.fetch("SELECT to_regclass($1) AS name", f"batch_chunk_{old:%Y%m%d}")
    assert tables[0]["name"] is None


async def test_lines_that_retention_let_go_are_no_alarm(bench: Bench) -> None:
    """But lines that are missing for another reason are."""
    old, young = TODAY - timedelta(days=250), TODAY - timedelta(days=249)
    for day in (old, young):
        await bench.transfer(day)
        await bench.fetch("UPDATE transfer SET state = 'done' WHERE state = 'running'")
    keep = Retention(
        bench.pool, FixedClock(datetime.now(UTC)), usage=400, versions=400, batches=(TODAY - young).days, runs=400
    )
    found = await keep.forget()
    assert found["batches"] == 1
    async with bench.pool.acquire() as connection:
        gone, kept = [await verify(connection, day, 1) for day in (old, young)]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO batch_let_go VALUES ($1, now())", young)
    assert gone is not None
    assert kept is not None
    assert gone.ok
    assert gone.let_go_at is not None
    assert gone.recomputed == gone.sha256
    assert (kept.ok, kept.let_go_at) == (True, None)
    assert bench.made is not None
    owner = await asyncpg.connect(bench.made.owner.dsn, password=bench.made.owner.secret())
    try:
        await owner.execute(f"TRUNCATE batch_chunk_{young:%Y%m%d}")
    finally:
        await owner.close()
    async with bench.pool.acquire() as connection:
        emptied = await verify(connection, young, 1)
    assert emptied is not None
    assert (emptied.ok, emptied.let_go_at) == (False, None)
    assert "0 are there" in str(emptied.first_difference)
