"""Looking at a view before it runs: friendly refusals, and the translation from T-SQL.

Nothing here is what keeps the database safe: that is the role that views run as. What this lets through by mistake is
refused there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from billing_engine.billing_views.model import Dialect, ViewRefusedError
from billing_engine.billing_views.tsql import to_postgres

RELATIONS: Final = {
    "olm": frozenset({
        "organisations", "instances", "subscriptions", "applications", "allocations", "plans", "plan_properties",
        "usage_by_day",
    }),
    "dbo": frozenset({
        "customers", "services", "packagetemplate", "serviceusers", "properties", "propertyvalues_flat", "vw_statsdata",
    }),
}  # fmt: skip
"""What a view may read."""

_OWN_FUNCTIONS: Final = {
    "olm": frozenset({"batch_date", "usage_date"}),
    "dbo": frozenset({"getdate", "isnumeric", "dateadd", "datediff"}),
}
# Functions of PostgreSQL that the parser has no class for; of those it has one for, all but the refused are allowed.
_PLAIN_FUNCTIONS: Final = frozenset({
    "age", "btrim", "ceiling", "cardinality", "date", "daterange", "div", "every", "extract", "format", "initcap",
    "isfinite", "isnumeric", "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_array_length", "jsonb_each",
    "jsonb_each_text", "jsonb_object_keys", "jsonb_typeof", "justify_days", "log10", "ltrim", "make_date",
    "make_interval", "mod", "num_nonnulls", "num_nulls", "percentile_cont", "percentile_disc", "power",
    "regexp_match", "regexp_matches", "rtrim", "scale", "string_to_array", "to_number", "trim_scale",
    "width_bucket",
})  # fmt: skip
_REFUSED_FUNCTIONS: Final = frozenset({
    "repeat", "pad", "rand", "randn", "random", "uuid", "sleep", "current_user", "session_user", "current_database",
    "current_schema", "current_schemas", "current_catalog", "current_role", "version", "generate_uuid", "xml_table",
})  # fmt: skip
_CLOCKS: Final = frozenset({
    "now", "current_date", "current_time", "current_timestamp", "current_datetime", "localtime", "localtimestamp",
    "statement_timestamp", "clock_timestamp", "transaction_timestamp",
})  # fmt: skip
_WRITES: Final = (exp.DML, exp.DDL, exp.Into, exp.Lock, exp.Command, exp.Set, exp.Copy, exp.Merge)
_REFUSED_TYPES: Final = re.compile(
    r"^(reg\w+|oid|xid8?|cid|tid|lo|name|xml|refcursor|pg_\w+|float\w*|double\w*|real)\b", re.IGNORECASE
)


def checked(sql: str, dialect: Dialect) -> str:
    """The query that will run, in PostgreSQL's dialect.

    Raises:
        ViewRefusedError: it is not one query on ``olm`` and ``dbo``; with every reason.
    """
    query = _one_query(sql, dialect)
    if dialect == "tsql":
        query = to_postgres(query)
    if reasons := list(dict.fromkeys(_reasons(query))):
        raise ViewRefusedError(reasons)
    if dialect == "postgres" and not _is_definition(sql):
        return _without_semicolon(sql)
    try:
        return query.sql("postgres", pretty=True, unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise ViewRefusedError([f"it cannot be translated: {_short(error)}"]) from None


def _one_query(sql: str, dialect: Dialect) -> exp.Query:
    try:
        statements = [one for one in sqlglot.parse(sql, read=dialect) if one is not None]
    except (SqlglotError, RecursionError) as error:
        raise ViewRefusedError([f"it cannot be read: {_short(error)}"]) from None
    if len(statements) != 1:
        raise ViewRefusedError([f"a view is one SELECT statement; these are {len(statements)}"])
    (statement,) = statements
    if isinstance(statement, exp.Create) and str(statement.args.get("kind", "")).upper() == "VIEW":
        statement = statement.expression
    if not isinstance(statement, exp.Query):
        raise ViewRefusedError([f"a view is a SELECT statement, not {_verb(sql)}"])
    return statement


def _reasons(query: exp.Query) -> Iterator[str]:
    named = {cte.alias_or_name.lower() for cte in query.find_all(exp.CTE)}
    for node in query.walk():
        if isinstance(node, _WRITES) and not isinstance(node, exp.Query):
            yield f"a view only reads; {_said(node)} is not allowed in it"
        elif isinstance(node, exp.Parameter | exp.Placeholder | exp.SessionParameter):
            yield f"a view has no parameters; {_said(node)} is one"
        elif isinstance(node, exp.Table):
            yield from _of_table(node, named)
        elif isinstance(node, exp.Func):
            yield from _of_function(node)
        elif isinstance(node, exp.DataType) and _REFUSED_TYPES.match(node.sql("postgres")):
            yield f"the type {node.sql('postgres').lower()} is not allowed in a view"


def _of_table(table: exp.Table, named: set[str]) -> Iterator[str]:
    name, schema = table.name.lower(), table.db.lower()
    if not isinstance(table.this, exp.Identifier) or (not schema and name in named):
        return
    if table.catalog or (schema and schema not in RELATIONS):
        yield f"{_said(table.this)} in schema {schema} cannot be read; a view reads olm and dbo"
    elif name not in (RELATIONS[schema] if schema else RELATIONS["olm"] | RELATIONS["dbo"]):
        there = ", ".join(sorted(RELATIONS[schema or "olm"]))
        yield f"there is no {schema or 'olm'}.{name}; there are {there}"


def _of_function(node: exp.Func) -> Iterator[str]:
    if not isinstance(node, exp.Anonymous):
        names = {name.lower() for name in node.sql_names()}
        if names & _CLOCKS:
            yield f"{min(names)} is the server's clock; a view asks olm.batch_date() or olm.usage_date()"
        if names & _REFUSED_FUNCTIONS:
            yield f"the function {min(names)} is not allowed in a view"
        return
    name = node.name.lower()
    parent = node.parent
    if isinstance(parent, exp.Dot) and parent.expression is node:
        schema = parent.this.name.lower()
    else:
        schema = node.parent.db.lower() if isinstance(node.parent, exp.Table) else ""
    allowed = _OWN_FUNCTIONS.get(schema, frozenset())
    if schema in {"", "pg_catalog"}:
        allowed = _PLAIN_FUNCTIONS | frozenset().union(*_OWN_FUNCTIONS.values())
    if name in _CLOCKS:
        yield f"{name} is the server's clock; a view asks olm.batch_date() or olm.usage_date()"
    elif name not in allowed:
        yield f"the function {schema + '.' if schema else ''}{name} is not allowed in a view"


def _is_definition(sql: str) -> bool:
    return _verb(sql) in {"CREATE", "ALTER"}


def _without_semicolon(sql: str) -> str:
    """The text as it was given, for PostgreSQL reads it better than anybody who writes it anew."""
    tokens = list(sqlglot.tokenize(sql, read="postgres"))
    end = len(sql)
    for token in reversed(tokens):
        if token.text != ";":
            break
        end = token.start
    return sql[:end].strip()


def _verb(sql: str) -> str:
    tokens = sqlglot.tokenize(sql)
    return tokens[0].text.upper() if tokens else "nothing"


def _said(node: exp.Expr) -> str:
    text = node.sql("postgres")
    return text if len(text) <= 60 else f"{text[:60]}..."  # noqa: PLR2004 - enough to find it


def _short(error: Exception) -> str:
    """The parser's message without the escape codes that underline the place in a terminal."""
    return re.sub(r"\x1b\[\d*m", "", str(error)).split("\n", maxsplit=1)[0][:300]
