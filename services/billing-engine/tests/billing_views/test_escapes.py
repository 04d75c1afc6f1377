"""What a registered view must not be able to do, tried three ways: straight as the role, by the engine without its
first look at the SQL, and by registering it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from billing_engine.billing_views import service as billing_views
from billing_engine.billing_views.checking import RELATIONS, checked
from billing_engine.billing_views.model import Dates, Definition, Row, ViewError, ViewFailedError, ViewRefusedError
from billing_engine.billing_views.running import ViewRunner
from billing_engine.settings import ViewsDatabaseSettings
from engine_bench import Bench
from tallyport.testing.waiting import until

TODAY = datetime.now(UTC).date()
DATES = Dates(TODAY, TODAY - timedelta(days=1))

# Each is refused by PostgreSQL to the role, whatever looked at it before.
REFUSED = {
    "insert": "INSERT INTO public.plan VALUES ('x', 'x', 'user_plan', 'x', 'EUR')",
    "insert through a view": "INSERT INTO olm.plans VALUES ('x', 'x', 'user_plan', 'x', 'EUR')",
    "delete in a CTE": "WITH gone AS (DELETE FROM public.plan RETURNING *) SELECT * FROM gone",
    "delete a view in a CTE": "WITH gone AS (DELETE FROM olm.plans RETURNING *) SELECT * FROM gone",
    "update in a CTE": "WITH x AS (UPDATE olm.plans SET name = 'x' RETURNING 1) SELECT * FROM x",
    "merge": "MERGE INTO olm.plans p USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "select into": "SELECT * INTO stolen FROM olm.plans",
    "create table as": "CREATE TABLE stolen AS SELECT * FROM olm.plans",
    "temporary table": "CREATE TEMPORARY TABLE mine (a int)",
    "create function": "CREATE FUNCTION olm.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "do": "DO $$ BEGIN PERFORM pg_sleep(10); END $$",
    "drop": "DROP VIEW olm.plans CASCADE",
    "alter role": "ALTER ROLE billing_engine_views SUPERUSER",
    "grant": "GRANT SELECT ON public.plan TO billing_engine_views",
    "truncate": "TRUNCATE public.plan",
    "lock": "SELECT * FROM olm.plans FOR UPDATE",
    "other schema": "SELECT * FROM public.plan",
    "tokens of the outbox": "SELECT * FROM public.outbox",
    "read a file": "SELECT pg_read_file('/etc/passwd')",
    "read a file as bytes": "SELECT pg_read_binary_file('/etc/passwd')",
    "list a folder": "SELECT pg_ls_dir('.')",
    "stat a file": "SELECT pg_stat_file('postgresql.conf')",
    "a setting with a path": "SELECT current_setting('data_directory')",
    "all settings": "SELECT name, setting FROM pg_settings",
    "dblink": "SELECT * FROM dblink('dbname=postgres', 'SELECT 1') AS t(a int)",
    "create extension": "CREATE EXTENSION dblink",
    "copy out": "COPY olm.plans TO '/tmp/stolen'",
    "copy to a program": "COPY olm.plans TO PROGRAM 'id'",
    "copy in": "COPY public.plan FROM '/etc/passwd'",
    "load": "LOAD 'plpgsql'",
    "set_config": "SELECT set_config('default_transaction_read_only', 'off', false)",
    "settings as a table": "UPDATE pg_settings SET setting = 'off' WHERE name = 'default_transaction_read_only'",
    "set_config of the dates": "SELECT set_config('olm.usage_date', '2000-01-01', true)",
    "set role": "SET ROLE billing_engine",
    "set role to the owner": "SET ROLE billing_engine_owner",
    "set session authorization": "SET SESSION AUTHORIZATION billing_engine",
    "role by set_config": "SELECT set_config('role', 'billing_engine', false)",
    "sleep": "SELECT pg_sleep(10)",
    "sleep for": "SELECT pg_sleep_for('10 seconds')",
    "sleep by cast": "SELECT 'pg_sleep(float8)'::regprocedure::text, pg_sleep(10)",
    "sleep in a filter": "SELECT 1 WHERE pg_sleep(10) IS NULL UNION ALL SELECT pg_sleep(10)::text::int",
    "sql in a function": "SELECT query_to_xml('SELECT * FROM public.plan', true, true, '')",
    "sql in a text search": "SELECT * FROM ts_stat('SELECT to_tsvector(name) FROM public.plan')",
    "a table as xml": "SELECT table_to_xml('public.plan'::regclass, true, true, '')",
    "large object": "SELECT lo_create(0)",
    "large object from a file": "SELECT lo_import('/etc/passwd')",
    "read a large object": "SELECT lo_get(1)",
    "advisory lock": "SELECT pg_advisory_lock(hashtext('tallyport.catalog'))",
    "advisory lock of the transaction": "SELECT pg_advisory_xact_lock(1)",
    "try an advisory lock": "SELECT pg_try_advisory_lock(1)",
    "notify": "SELECT pg_notify('channel', 'message')",
    "end sessions": "SELECT pg_terminate_backend(pid) FROM generate_series(1, 100000) AS pid",
    "cancel statements": "SELECT pg_cancel_backend(1)",
    "reload": "SELECT pg_reload_conf()",
    "rotate the log": "SELECT pg_rotate_logfile()",
    "switch the wal": "SELECT pg_switch_wal()",
    "logical message": "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "replication slot": "SELECT pg_create_logical_replication_slot('a', 'pgoutput')",
    "export a snapshot": "SELECT pg_export_snapshot()",
    "take a transaction id": "SELECT pg_current_xact_id()",
    "what others do": "SELECT query FROM pg_stat_activity",
    "what others do, by function": "SELECT * FROM pg_stat_get_activity(NULL)",
    "who connects from where": "SELECT * FROM pg_stat_replication",
    "locks of others": "SELECT * FROM pg_locks",
    "prepared transactions": "SELECT * FROM pg_prepared_xacts",
    "passwords": "SELECT rolpassword FROM pg_authid",
    "passwords, the older way": "SELECT passwd FROM pg_shadow",
    "values of columns": "SELECT most_common_vals FROM pg_statistic",
    "subscriptions": "SELECT subconninfo FROM pg_subscription",
    "size of the database": "SELECT pg_database_size(current_database())",
    "size of a relation": "SELECT pg_total_relation_size('olm.plans')",
    "a sequence": "SELECT nextval('public.organisation_organisation_no_seq')",
    "repeat": "SELECT repeat('x', 1000000000)",
    "pad": "SELECT lpad('x', 1000000000)",
    "random": "SELECT random()",
    "the clock": "SELECT clock_timestamp()",
    "security definer": "SELECT public.ensure_usage_day('2000-01-01')",
    "freeze": "SELECT public.refuse_change()",
}  # fmt: skip
# PostgreSQL lets these run, and ends them.
ENDLESS = {
    "cross join of everything": "SELECT count(*) FROM pg_proc a, pg_proc b, pg_proc c, pg_attribute d, pg_attribute e",
    "recursion without end": "WITH RECURSIVE r (n) AS (SELECT 1::numeric UNION ALL SELECT n + 1 FROM r) "
    "SELECT max(n) FROM r",
    "recursion that grows": "WITH RECURSIVE r (n) AS (VALUES (1) UNION ALL SELECT n FROM r, generate_series(1, 9)) "
    "SELECT sum(n) FROM r",
    "a long series": "SELECT sum(n * n) FROM generate_series(1::numeric, 1e15) AS n",
    "a long sort": "SELECT n FROM generate_series(1, 1000000000) AS n ORDER BY -n",
    "a long text": "SELECT length(string_agg(n::text, ',')) FROM generate_series(1, 1000000000) AS n",
}  # fmt: skip
# PostgreSQL cannot hide these; they tell names, and nothing of anybody's.
HARMLESS = {
    "names of roles": "SELECT rolname, rolpassword FROM pg_roles",
    "names of tables": "SELECT relname FROM pg_class",
    "names of databases": "SELECT datname FROM pg_database",
    "source of functions": "SELECT prosrc FROM pg_proc",
    "statistics of its own": "SELECT count(*) FROM information_schema.tables",
}
EVERYTHING = {**REFUSED, **ENDLESS, **HARMLESS}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def settings(bench: Bench) -> AsyncIterator[ViewsDatabaseSettings]:
    assert bench.made is not None
    assert bench.made.views is not None
    await bench.catalog({"services": [{"id": "S", "name": "S", "plans": [
        {"id": "P", "type": "user_plan", "name": "P", "currency": "EUR", "properties": {"sales_price": "1"}}
    ], "billing_units": [{"id": "u", "plan_type": "user_plan", "unit": "user"}]}]})  # fmt: skip
    views = bench.made.views

    async def ready() -> bool:
        return await bench.engine.reasons_not_ready() == []

    await until(ready)
    yield ViewsDatabaseSettings(
        dsn=views.dsn, password=views.password, statement_timeout_seconds=1, run_timeout_seconds=5
    )


@asynccontextmanager
async def _as_the_role(settings: ViewsDatabaseSettings, **session: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(settings.dsn, password=settings.secret(), server_settings=session)
    try:
        yield connection
    finally:
        connection.terminate()


async def _everything(bench: Bench) -> Any:
    """What the database holds, and that the engine still works."""
    rows = await bench.fetch(
        "SELECT (SELECT string_agg(p::text, '' ORDER BY id) FROM plan p) AS plans, "
        "(SELECT count(*) FROM pg_class) AS relations, "
        "(SELECT count(*) FROM pg_proc) AS functions, (SELECT count(*) FROM registered_view) AS views, "
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid IN (SELECT pid FROM pg_stat_activity "
        "WHERE usename = 'billing_engine_views')) AS locks"
    )
    assert await bench.engine.reasons_not_ready() == []
    return tuple(rows[0].values())


@pytest.mark.parametrize("name", REFUSED)
async def test_the_database_refuses_it(bench: Bench, settings: ViewsDatabaseSettings, name: str) -> None:
    before = await _everything(bench)
    for session in ({}, {"default_transaction_read_only": "off"}):
        async with _as_the_role(settings, **session) as connection:
            with pytest.raises(asyncpg.PostgresError) as caught:
                await asyncio.wait_for(connection.execute(REFUSED[name]), timeout=5)
        assert not isinstance(caught.value, asyncpg.QueryCanceledError), "it was run, and only ended by the clock"
    assert await _everything(bench) == before


@pytest.mark.parametrize("name", ENDLESS)
async def test_the_database_ends_it(bench: Bench, settings: ViewsDatabaseSettings, name: str) -> None:
    async with _as_the_role(settings, statement_timeout="700ms") as connection:
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.execute(ENDLESS[name])
    assert await _everything(bench)


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_it_can_see_is_harmless(settings: ViewsDatabaseSettings, name: str) -> None:
    async with _as_the_role(settings) as connection:
        for row in await connection.fetch(HARMLESS[name]):
            assert "SCRAM" not in str(tuple(row.values()))
            assert row.get("rolpassword", "********") == "********"


@pytest.mark.parametrize("name", EVERYTHING)
async def test_the_engine_survives_running_it(bench: Bench, settings: ViewsDatabaseSettings, name: str) -> None:
    """Without its first look, and with everything that a result needs around it."""
    before = await _everything(bench)
    runner = ViewRunner(settings)
    for sql in (EVERYTHING[name], _shaped(EVERYTHING[name])):
        if sql in HARMLESS.values() or sql in map(_shaped, HARMLESS.values()):
            continue
        with pytest.raises(ViewFailedError, match=r"^view 'escape': "):
            await _run(bench, runner, sql)
    assert await _everything(bench) == before


@pytest.mark.parametrize("name", EVERYTHING)
async def test_registering_it_is_refused(bench: Bench, settings: ViewsDatabaseSettings, name: str) -> None:
    given = Definition(
        name="escape", service="S", plan_type="user_plan", label="x", quantity_column="q", sql=EVERYTHING[name]
    )
    unit_of_work, runner = bench.engine.messaging.unit_of_work, ViewRunner(settings)
    with pytest.raises(ViewError) as caught:
        await billing_views.register(bench.pool, unit_of_work, runner, given, dates=DATES, by="test")
    if name not in ENDLESS:
        assert isinstance(caught.value, ViewRefusedError), caught.value
    assert str(caught.value)


@pytest.mark.parametrize("escape", [
    "SELECT 1) AS result; DELETE FROM public.plan; --",
    "SELECT 1; COMMIT; DELETE FROM public.plan",
    "SELECT 1) AS result, (SELECT pg_sleep(10)) AS x --",
    "SELECT 1 /*",
    "",
    "COMMIT",
])  # fmt: skip
async def test_leaving_the_parentheses_leads_nowhere(
    bench: Bench, settings: ViewsDatabaseSettings, escape: str
) -> None:
    before = await _everything(bench)
    with pytest.raises(ViewFailedError):
        await _run(bench, ViewRunner(settings), escape)
    assert await _everything(bench) == before


async def test_the_role_has_nothing_but_the_two_schemas(settings: ViewsDatabaseSettings) -> None:
    async with _as_the_role(settings) as connection:
        readable = await connection.fetch(
            "SELECT n.nspname AS schema, c.relname AS name "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v', 'm', 'p', 'f') "
            "AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        )
        writable = await connection.fetchval(
            "SELECT count(*) FROM pg_class c WHERE has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') "
            "AND c.relkind IN ('r', 'v', 'm', 'p', 'f')"
        )
        volatile = await connection.fetch(
            "SELECT proname FROM pg_proc WHERE provolatile = 'v' AND has_function_privilege(oid, 'EXECUTE') "
            "AND has_schema_privilege(pronamespace, 'USAGE')"
        )
        rights = await connection.fetchrow(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, "
            "EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid), "
            "EXISTS (SELECT FROM pg_class WHERE relowner = r.oid), "
            "has_database_privilege(current_database(), 'CREATE'), "
            "has_database_privilege(current_database(), 'TEMPORARY') "
            "FROM pg_roles r WHERE rolname = current_user"
        )
        schemas = await connection.fetch("SELECT nspname FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE')")
    found: dict[str, set[str]] = {}
    for row in readable:
        found.setdefault(row["schema"], set()).add(row["name"])
    by_key = {f"{schema}_by_key": names for schema, names in RELATIONS.items()}
    assert found == {**RELATIONS, **by_key}, "what is looked for before, and what is there"
    assert (writable, list(volatile), list(schemas)) == (0, [], [])
    assert not any(rights.values())


def test_the_friendly_refusal_says_what_to_do() -> None:
    for sql, words in (
        ("SELECT * FROM olm.users", "there is no olm.users; there are allocations"),
        ("SELECT * FROM olm.plans WHERE current_date > '2026-01-01'", "asks olm.batch_date"),
        ("SELECT 1; SELECT 2", "one SELECT statement; these are 2"),
        ("SELECT * FROM public.plan", "a view reads olm and dbo"),
        ("UPDATE olm.plans SET name = 'x'", "a view is a SELECT statement, not UPDATE"),
        ("SELECT $1", "no parameters"),
        ("SELECT (", "it cannot be read"),
    ):
        with pytest.raises(ViewRefusedError, match=words):
            checked(sql, "postgres")


async def _run(bench: Bench, runner: ViewRunner, sql: str) -> list[Row]:
    rows: list[Row] = []

    async def take(some: Any) -> None:
        rows.extend(some)

    async with bench.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        await runner.run("escape", sql, "q", snapshot=snapshot, dates=DATES, max_rows=10, take=take)
    return rows


def _shaped(sql: str) -> str:
    return f"SELECT 'a' AS object_id, 'b' AS plan_id, 'c' AS description, x::text AS name, 1 AS q FROM ({sql}) AS x"  # noqa: S608
