"""One database and two roles per service: the owner migrates, the runtime role has what the migrations grant.

The billing engine's has a third, which runs the SQL that administrators register; see ``confined.py``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import asyncpg

from tallyport_local.postgres.confined import confine_role, confine_server_functions, views_role_of

COLLECTOR_ROLE: Final = "tallyport_collector"
# Two stacks on one server, or a test beside a stack, may do this at the same moment; roles are the server's.
_LOCK: Final = 7_021_734_011


def owner_of(database: str) -> str:
    """The role that owns a service's database and runs its migrations."""
    return f"{database}_owner"


def roles_of(databases: Sequence[str]) -> list[str]:
    """Every role of these databases, and the collector's."""
    roles = [role for database in databases for role in (owner_of(database), database)]
    return [*roles, *(role for database in databases if (role := views_role_of(database))), COLLECTOR_ROLE]


async def _ensure_role(connection: asyncpg.Connection[asyncpg.Record], role: str, password: str) -> None:
    """Create the role or set its password; in both cases it ends without any special right."""
    exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if exists else "CREATE"
    statement = await connection.fetchval(
        f"SELECT format('{verb} ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L', $1::text, $2::text)",
        role,
        password,
    )
    await connection.execute(statement)


async def ensure_roles(
    connection: asyncpg.Connection[asyncpg.Record], databases: Sequence[str], passwords: Mapping[str, str]
) -> None:
    """All roles with their passwords; the collector's may read sizes and statistics, and nothing else."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        for role in roles_of(databases):
            await _ensure_role(connection, role, passwords[role])
        for database in databases:
            if confined := views_role_of(database):
                await confine_role(connection, confined)
        await connection.execute(f"GRANT pg_monitor TO {COLLECTOR_ROLE}")


async def create_database(
    connection: asyncpg.Connection[asyncpg.Record],
    name: str,
    *,
    service_database: str,
    template: str = "template1",
) -> None:
    """A database for one service: only its own roles may connect. Outside a transaction, as PostgreSQL wants it."""
    owner = owner_of(service_database)
    quoted = '"' + name.replace('"', '""') + '"'
    await connection.execute(f'GRANT "{owner}" TO CURRENT_USER')
    await connection.execute(f'CREATE DATABASE {quoted} OWNER "{owner}" TEMPLATE "{template}"')
    await connection.execute(f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC")
    await connection.execute(f'GRANT CONNECT, TEMPORARY ON DATABASE {quoted} TO "{service_database}"')
    if role := views_role_of(service_database):
        await connection.execute(f'GRANT CONNECT ON DATABASE {quoted} TO "{role}"')


async def confine(dsn: str, password: str | None, service_database: str, name: str) -> None:
    """Take from ``service_database``'s third role, in the database ``name``, what PostgreSQL gives to everybody."""
    if not views_role_of(service_database):
        return
    connection = await asyncpg.connect(dsn, password=password, database=name)
    try:
        await confine_server_functions(connection, [owner_of(service_database), service_database])
    finally:
        await connection.close()


async def ensure_databases(admin_dsn: str, admin_password: str | None, passwords: Mapping[str, str]) -> None:
    """Every database named by ``passwords``' owner roles, on a fresh or on a used server; safe to repeat."""
    databases = [role.removesuffix("_owner") for role in passwords if role.endswith("_owner")]
    connection = await asyncpg.connect(admin_dsn, password=admin_password)
    try:
        await ensure_roles(connection, databases, passwords)
        for database in databases:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
                await create_database(connection, database, service_database=database)
            elif role := views_role_of(database):
                await connection.execute(f'GRANT CONNECT ON DATABASE "{database}" TO "{role}"')
            await confine(admin_dsn, admin_password, database, database)
    finally:
        await connection.close()


def _read(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8").strip()


def main() -> None:
    """A one-shot job for installations that are not local: make the roles and databases of every service.

    TALLYPORT_POSTGRES_ADMIN_DSN names the server, without a password; TALLYPORT_SECRETS_DIR is a folder with the file
    ``postgres-admin`` and one for each role, named after it.
    """
    folder = Path(os.environ["TALLYPORT_SECRETS_DIR"])
    databases = ("billing_engine", "notifier", "report_builder")
    passwords = {role: _read(folder, role) for role in roles_of(databases)}
    asyncio.run(
        ensure_databases(os.environ["TALLYPORT_POSTGRES_ADMIN_DSN"], _read(folder, "postgres-admin"), passwords)
    )


if __name__ == "__main__":
    main()
