"""The statements that the documentation gives to those who make the role by hand."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import asyncpg
from tallyport_local.postgres.confined import confine_server_functions, views_role_of
from tallyport_local.postgres.databases import create_database
from tallyport_local.testing import Infrastructure

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "operations.md"
ALLOWED = """
SELECT p.oid::regprocedure::text AS name FROM pg_proc p
WHERE pronamespace = 'pg_catalog'::regnamespace AND has_function_privilege('billing_engine_views', p.oid, 'EXECUTE')
"""


async def test_they_take_what_the_job_takes(infrastructure: Infrastructure) -> None:
    text = DOCUMENT.read_text(encoding="utf-8").split("By hand, in the database")[1]
    block = re.split(r"\n\n(?! )", text.split("\n\n", 1)[1])[0]
    by_hand = [statement.strip() for statement in re.split(r";\n|\\gexec", block) if statement.strip()]
    names = [f"by_hand_{secrets.token_hex(4)}" for _ in range(2)]
    admin = await infrastructure.admin()
    allowed = []
    try:
        for name in names:
            await create_database(admin, name, service_database="billing_engine")
            connection = await asyncpg.connect(
                infrastructure.admin_dsn, password=infrastructure.admin_password, database=name
            )
            try:
                if name == names[0]:
                    for statement in by_hand:
                        await _by_hand(connection, statement, name)
                else:
                    await confine_server_functions(connection, ["billing_engine_owner", "billing_engine"])
                allowed.append({row["name"] for row in await connection.fetch(ALLOWED)})
            finally:
                await connection.close()
    finally:
        for name in names:
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()
    assert views_role_of("billing_engine") == "billing_engine_views"
    assert allowed[0] == allowed[1]


async def _by_hand(connection: asyncpg.Connection[asyncpg.Record], statement: str, name: str) -> None:
    if statement.startswith(("CREATE ROLE", "ALTER ROLE")):
        return  # roles are the server's: the one that is there is as the job makes it
    if not statement.startswith("SELECT"):
        await connection.execute(statement.replace("DATABASE billing_engine", f'DATABASE "{name}"'))
        return
    for row in await connection.fetch(statement):
        for cell in row:
            await connection.execute(cell)
