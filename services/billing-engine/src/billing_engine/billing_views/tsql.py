"""Translating a view that was written for an older panel's SQL Server. Most of it is sqlglot's; this is the rest."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

_TEXT: Final = (exp.DataType.Type.VARCHAR, exp.DataType.Type.NVARCHAR, exp.DataType.Type.CHAR, exp.DataType.Type.NCHAR)
_FRACTIONS: Final = (
    exp.DataType.Type.FLOAT, exp.DataType.Type.DOUBLE, exp.DataType.Type.MONEY, exp.DataType.Type.SMALLMONEY,
)  # fmt: skip


def to_postgres(query: exp.Query) -> exp.Query:
    """The same query on the compatibility views in ``dbo``; names become lower case: SQL Server ignores case."""
    named = {cte.alias_or_name.lower() for cte in query.find_all(exp.CTE)}
    query = query.copy()
    for identifier in query.find_all(exp.Identifier):
        identifier.set("this", identifier.this.lower())
    for table in query.find_all(exp.Table):
        table.set("hints", None)
        if isinstance(table.this, exp.Identifier) and not table.db and table.name not in named:
            table.set("db", exp.to_identifier("dbo"))
        # The panel's own database, as in OLM.dbo.Services; here there is only one.
        table.set("catalog", None)
    translated = query.transform(_node)
    assert isinstance(translated, exp.Query)  # noqa: S101 - no rule below touches the outermost node
    return translated


def _own(name: str, *arguments: exp.Expr) -> exp.Dot:
    return exp.Dot(this=exp.to_identifier("dbo"), expression=exp.Anonymous(this=name, expressions=list(arguments)))


def _node(node: exp.Expr) -> exp.Expr:  # noqa: PLR0911 - one rule a line
    match node:
        case exp.CurrentTimestamp() | exp.CurrentDatetime():
            return _own("getdate")
        case exp.DateAdd():
            return _own("dateadd", _part(node), exp.cast(node.expression.transform(_node), "int"), _moment(node.this))
        case exp.DateDiff():
            return _own("datediff", _part(node), _moment(node.expression), _moment(node.this))
        case exp.Anonymous() if node.name.lower() == "isnumeric":
            return _own("isnumeric", *(one.transform(_node) for one in node.expressions))
        case exp.National():
            return exp.Literal.string(node.name)
        case exp.DataType():
            return _type(node)
        case exp.Add() if _is_text(node.left) or _is_text(node.right):
            return exp.DPipe(this=node.left.transform(_node), expression=node.right.transform(_node))
        case _:
            return node


def _part(node: exp.DateAdd | exp.DateDiff) -> exp.Expr:
    unit = node.args.get("unit")
    return exp.Literal.string(unit.name.upper() if unit is not None else "DAY")


def _moment(node: exp.Expr) -> exp.Expr:
    """A date; a number of days is left a number, which the function takes too."""
    inner = node.this if isinstance(node, exp.TimeStrToTime) else node
    inner = inner.transform(_node)
    if isinstance(inner, exp.Literal) and inner.is_string:
        return exp.cast(inner, "timestamp")
    return inner


def _type(node: exp.DataType) -> exp.Expr:
    if node.this in _TEXT and any(one.name.upper() == "MAX" for one in node.expressions):
        return exp.DataType.build("text")
    if node.this is exp.DataType.Type.BIT:
        return exp.DataType.build("int")
    if node.this in _FRACTIONS:
        return exp.DataType.build("numeric", dialect="postgres")
    if node.this is exp.DataType.Type.DECIMAL and not node.expressions:
        return exp.DataType.build("decimal(18, 0)")
    return node


def _is_text(node: exp.Expr) -> bool:
    if isinstance(node, exp.Add):
        return _is_text(node.left) or _is_text(node.right)
    return node.is_string or (isinstance(node, exp.Cast) and node.to.this in _TEXT) or isinstance(node, exp.National)
