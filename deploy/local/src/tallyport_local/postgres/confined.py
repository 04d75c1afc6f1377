"""The role that runs SQL which administrators register: what it is given, and what is taken from it.

PostgreSQL lets everybody call nearly all of its functions. For the database in which this role works that is turned
round for those that do something: they are the owner's and the runtime role's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

VIEWS_ROLES: Final = {"billing_engine": "billing_engine_views"}

# What a session begins with. Only a superuser can set the last; a session could change the others, but every way to do
# that is a statement that the engine never sends, or a function that is taken away below.
_DEFAULTS: Final = {
    "default_transaction_read_only": "on",
    "search_path": "olm, dbo, pg_catalog",
    "statement_timeout": "60s",
    "transaction_timeout": "120s",
    "idle_session_timeout": "300s",
    "lock_timeout": "2s",
    "work_mem": "32MB",
    "hash_mem_multiplier": "2",
    "temp_buffers": "1MB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "temp_file_limit": "2GB",
}
_A_SUPERUSERS: Final = frozenset({"temp_file_limit"})
CONNECTIONS: Final = 4

# Volatile functions have effects, or give another answer each time: sleeping, locks, settings, messages, large objects,
# files, sizes, other sessions, random numbers. Of the rest these read other sessions or the server's settings, run SQL
# given as text, or make a gigabyte of one call.
_ALSO_TAKEN: Final = (
    "query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "table_to_xml", "table_to_xmlschema",
    "table_to_xml_and_xmlschema", "schema_to_xml", "schema_to_xmlschema", "schema_to_xml_and_xmlschema",
    "database_to_xml", "database_to_xmlschema", "database_to_xml_and_xmlschema", "cursor_to_xml", "cursor_to_xmlschema",
    "pg_show_all_settings", "pg_cursor", "pg_prepared_statement", "pg_prepared_xact", "pg_tablespace_location",
    "pg_tablespace_size", "pg_get_replication_slots", "pg_options_to_table", "pg_current_xact_id",
    "txid_current", "inet_server_addr", "inet_server_port", "inet_client_addr", "inet_client_port",
    "repeat", "lpad", "rpad",
)  # fmt: skip
_TAKEN: Final = """
SELECT p.oid::regprocedure::text AS signature
FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind <> 'p'
  AND (p.provolatile = 'v' OR p.proname = ANY ($1::text[]) OR p.proname ~ '^pg_stat_get_' OR p.proname ~ '^pg_ls_')
  AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
ORDER BY 1
"""
_ROLES: Final = "SELECT string_agg(format('%I', name), ', ') FROM unnest($1::text[]) AS name"


def views_role_of(database: str) -> str | None:
    """The role that runs registered SQL in a service's database; None for a service that has none."""
    return VIEWS_ROLES.get(database)


async def _is_superuser(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    return bool(await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))


async def confine_role(connection: asyncpg.Connection[asyncpg.Record], role: str) -> None:
    """A login that inherits nothing, with few connections, whose sessions begin read-only and with limits."""
    quoted = await connection.fetchval("SELECT format('%I', $1::text)", role)
    superuser = await _is_superuser(connection)
    taken = "NOREPLICATION NOBYPASSRLS " if superuser else ""
    await connection.execute(f"ALTER ROLE {quoted} {taken}NOINHERIT CONNECTION LIMIT {CONNECTIONS}")
    for name, value in _DEFAULTS.items():
        if name in _A_SUPERUSERS and not superuser:
            continue
        said = value if name == "search_path" else f"'{value}'"
        await connection.execute(f"ALTER ROLE {quoted} SET {name} = {said}")


async def confine_server_functions(connection: asyncpg.Connection[asyncpg.Record], kept_by: Sequence[str]) -> None:
    """Only the roles ``kept_by`` may call what has an effect, in the database of ``connection``; safe to repeat.

    The functions are PostgreSQL's own, so only a superuser can do it; for anybody else nothing happens, and the engine
    then refuses to run views. A database made with this one as template has it too.
    """
    if not await _is_superuser(connection):
        return
    roles = await connection.fetchval(_ROLES, list(kept_by))
    async with connection.transaction():
        # Without a language there is no DO, and nothing can be defined.
        await connection.execute(f"GRANT USAGE ON LANGUAGE plpgsql, sql TO {roles}")
        await connection.execute("REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC")
        await connection.execute("REVOKE UPDATE ON pg_settings FROM PUBLIC")
        rows = await connection.fetch(_TAKEN, list(_ALSO_TAKEN))
        if not rows:
            return
        functions = ", ".join(f"pg_catalog.{row['signature']}" for row in rows)
        await connection.execute(f"GRANT EXECUTE ON FUNCTION {functions} TO {roles}")
        await connection.execute(f"REVOKE EXECUTE ON FUNCTION {functions} FROM PUBLIC")
