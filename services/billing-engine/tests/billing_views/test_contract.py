"""What a view has to give, what registering says otherwise, and what a transfer does when it stops giving it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.importing import read_script
from billing_engine.billing_views.model import (
    Dates,
    Definition,
    ViewError,
    ViewFailedError,
    ViewRefusedError,
    columns_of,
    row_fault,
)
from billing_engine.billing_views.running import ViewRunner
from billing_engine.settings import ViewsDatabaseSettings
from engine_bench import Bench
from tallyport.testing.waiting import until

TODAY = datetime.now(UTC).date()
DATES = Dates(TODAY, TODAY - timedelta(days=1))
GOOD = (
    "SELECT subscription_id AS object_id, plan_id, user_name AS description, 'Seat' AS name, 2 AS seats "
    "FROM olm.subscriptions"
)
UNIT = {"id": "seat", "plan_type": "user_plan", "unit": {"view": "seats"}, "price": "sales_price"}
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "S", "name": "Seats", "billing_units": [UNIT | {"unit": "user"}],
        "plans": [{"id": "P", "type": "user_plan", "name": "Plan", "currency": "EUR",
                   "properties": {"sales_price": "1.50"}}],
    }],
}  # fmt: skip


def _user(name: str) -> dict[str, Any]:
    user = {"upn": f"{name}@a", "name": name.title()}
    return {"kind": "subscription", "id": name, "instance": "s-1", "plan": "P", "status": "Provisioned", "user": user}


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def _directory(bench: Bench) -> None:
    await bench.directory(
        {"kind": "organisation", "id": "acme", "type": "customer", "name": "Acme", "currency": "EUR"},
        {"kind": "service_instance", "id": "s-1", "customer": "acme", "service": "S", "status": "Provisioned"},
        _user("ann"), _user("bob"),
    )  # fmt: skip
    await bench.caught_up()
    await bench.catalog(CATALOG)


async def _register(bench: Bench, sql: str, **fields: Any) -> billing_views.Registered:
    said = {"name": "seats", "service": "S", "plan_type": "user_plan", "label": "Seats", "quantity_column": "seats"}
    given = Definition.model_validate(said | {"sql": sql} | fields)
    views = bench.engine.views
    return await billing_views.register(
        bench.pool, bench.engine.messaging.unit_of_work, views, given, dates=DATES, by="ann"
    )


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (GOOD.replace(" AS name", " AS nom"), r"no column name \(the name on the line\); the result has .*nom"),
        (GOOD.replace("2 AS seats", "2 AS chairs"), r"there is no column seats \(the quantity\)"),
        (GOOD.replace("2 AS", "'two'::text AS"), "column seats is of type text; a quantity has to be numeric"),
        (GOOD.replace("2 AS", "sqrt(2) AS"), "binary fraction; cast it to numeric"),
        (GOOD.replace("plan_id,", "true AS plan_id,"), "column plan_id is of type bool; it has to be text"),
        (GOOD.replace("2 AS", "-2 AS"), "the quantity of object '(ann|bob)' is -2"),
        (GOOD.replace("2 AS", "'NaN'::numeric AS"), "no number that can be billed"),
        (GOOD.replace("2 AS", "1 / (2 - length('ab')) AS"), "division by zero"),
        (GOOD.replace("subscription_id AS", "instance_id AS"), r"several rows for one object: 's-1' \(2 times\)"),
        (f"{GOOD} WHERE user_name = 'Ann' UNION ALL {GOOD} WHERE user_name = 'Ann'", r"one object: 'ann' \(2 times\)"),
        (f"{GOOD} UNION ALL {GOOD}", r"more rows than there are objects it could be about \(2\)"),
        (GOOD.replace("subscription_id AS", "user_upn AS"), "not a subscription of service 'S': 'ann@a', 'bob@a'"),
        (GOOD.replace("subscription_id AS", "NULL::text AS"), "a row has no object id"),
        (GOOD.replace("'Seat' AS", "(SELECT string_agg(n::text, '') FROM generate_series(1, 9999) n) AS"),
         "the name of object '(ann|bob)' is longer than 1000 characters"),
        (GOOD.replace("olm.subscriptions", "olm.subscription"), "there is no olm.subscription; there are"),
        (GOOD.replace("user_name", "user_nam"), 'column "user_nam" does not exist'),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said(bench: Bench, sql: str, words: str) -> None:
    with pytest.raises(ViewError, match=words):
        await _register(bench, sql)
    assert await bench.fetch("SELECT FROM registered_view WHERE name = 'seats' AND version > 1") == []


async def test_other_refusals(bench: Bench) -> None:
    with pytest.raises(ViewRefusedError, match="there is no service 'T'; apply a catalogue"):
        await _register(bench, GOOD, service="T")
    with pytest.raises(ViewFailedError, match="TALLYPORT_VIEWS_DATABASE__DSN"):
        await ViewRunner(None).run("v", GOOD, "q", snapshot="", dates=DATES, max_rows=1, take=_nothing)
    assert bench.made is not None
    assert bench.made.views is not None
    limits = {"max_result_megabytes": 1, "statement_timeout_seconds": 5, "run_timeout_seconds": 0.7}
    runner = ViewRunner(ViewsDatabaseSettings(dsn=bench.made.views.dsn, password=bench.made.views.password, **limits))
    columns = "SELECT n::text AS object_id, '' AS plan_id, lorem AS description, lorem AS name, 1 AS q "
    series = f"{columns} FROM generate_series(1, 9000) n"
    long = ", LATERAL (SELECT string_agg('abcdefghij', '') AS lorem FROM generate_series(1, 50)) l"
    slow = (
        "SELECT '' AS object_id, '' AS plan_id, '' AS description, '' AS name, sum(n) AS q "
        "FROM generate_series(1, 1e9) n"
    )
    for sql, words in ((series + long, "larger than 1 MB"), (slow, "longer than 0.7 seconds")):
        async with bench.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            with pytest.raises(ViewFailedError, match=words):
                await runner.run("v", sql, "q", snapshot=snapshot, dates=DATES, max_rows=10_000, take=_nothing)


async def test_a_login_that_may_do_more_runs_nothing(bench: Bench) -> None:
    assert bench.made is not None
    for login in (bench.made.runtime, bench.made.owner):
        runner = ViewRunner(ViewsDatabaseSettings(dsn=login.dsn, password=login.password))
        async with bench.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            with pytest.raises(ViewFailedError, match="may do more than read olm and dbo"):
                await runner.run("v", GOOD, "seats", snapshot=snapshot, dates=DATES, max_rows=1, take=_nothing)


async def _nothing(_: Any) -> None:
    """Rows that nobody keeps."""


async def test_a_view_sees_the_snapshot_and_the_dates_it_is_given(bench: Bench) -> None:
    rows: list[Any] = []

    async def take(some: Any) -> None:
        rows.extend(some)

    sql = (
        "SELECT user_name AS object_id, olm.batch_date()::text AS plan_id, olm.usage_date()::text AS description, "
        "dbo.dateadd('DAY', -1, dbo.datediff('DAY', '1900-01-01'::timestamp, dbo.getdate()))::date::text AS name, "
        "1 AS q "
        "FROM olm.subscriptions ORDER BY 1"
    )
    dates = Dates(TODAY - timedelta(days=300), TODAY - timedelta(days=302))
    async with bench.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        await bench.fetch("UPDATE subscription SET user_name = 'Renamed' WHERE id = 'ann'")
        await bench.engine.views.run("v", sql, "q", snapshot=snapshot, dates=dates, max_rows=9, take=take)
    await bench.fetch("UPDATE subscription SET user_name = 'Ann' WHERE id = 'ann'")
    day = str(dates.usage_day)
    assert rows == [(name, str(dates.batch_date), day, day, Decimal(1)) for name in ("Ann", "Bob")]


async def test_a_view_that_fails_turns_the_transfer_red(bench: Bench) -> None:
    # It is right today, and wrong as soon as somebody is called Zoe.
    done = await _register(bench, GOOD.replace("2 AS", "CASE WHEN user_name = 'Zoe' THEN -1 ELSE 2 END AS"))
    assert done.warnings == []
    catalog = {"services": [CATALOG["services"][0] | {"billing_units": [UNIT]}]}
    await bench.catalog(catalog)
    lines = await bench.transfer()
    assert [(line["object_id"], line["quantity"], line["total"], line["name"]) for line in lines] == [
        ("ann", "2", "3.00", "Seat"), ("bob", "2", "3.00", "Seat"),
    ]  # fmt: skip
    await bench.fetch("UPDATE transfer SET state = 'done'")
    await bench.directory(_user("zoe"))
    await bench.caught_up()
    begun = await bench.engine.transfers.begin(None, by="test")

    async def red() -> bool:
        query = "SELECT state, reason FROM transfer WHERE batch_date = $1 AND revision = $2"
        row = (await bench.fetch(query, begun.batch_date, begun.revision))[0]
        assert row["state"] != "done"
        return bool(row["state"] == "failed" and row["reason"].startswith("view 'seats': the quantity of object 'zoe'"))

    await until(red)
    assert await bench.lines(begun.batch_date, begun.revision) == []
    assert await bench.engine.reasons_not_ready() == []


def test_columns_are_found_however_they_are_written() -> None:
    found = {"ObjectID": "varchar", "PLANID": "text", "description": "text", "Name": "text", "Excess_MB": "int8"}
    assert columns_of(found, "excessMB").quantity == "Excess_MB"
    with pytest.raises(ViewRefusedError) as caught:
        columns_of({"x": "text"}, "q")
    assert len(caught.value.reasons) == 5, "all of them at once"
    assert row_fault(("a", None, None, None, None)) is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("CREATE VIEW v AS SELECT 1 AS a", "does not call sp_billingunit_manage"),
        ("DROP TABLE Customers", "only CREATE VIEW and sp_billingunit_manage are understood"),
        ("EXEC sp_BillingUnit_Manage @UnitLabel='x', @PlanType='Weekly'", "@PlanType='Weekly' is none of"),
        ("EXEC sp_BillingUnit_Manage 'x', 'CustomerPlan'", "every parameter needs its name"),
        ("EXEC sp_BillingUnit_Manage @UnitLabel=", "cannot be read"),
    ],
)
def test_a_script_that_says_something_else_is_refused(script: str, words: str) -> None:
    with pytest.raises(ViewRefusedError, match=words):
        read_script(script)


def test_a_script_may_call_the_procedure_alone() -> None:
    (found,) = read_script(
        "EXECUTE dbo.sp_BillingUnit_Manage @UnitLabel = N'Per User - Seats', @PlanType = N'User Plan', @Sort = 3"
    )
    assert (found.name, found.plan_type, found.sql, found.ignored) == ("per-user-seats", "user_plan", None, ["sort"])
