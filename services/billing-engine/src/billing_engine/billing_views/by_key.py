"""A view as it is asked about single objects: the same text, reading the schemas that are made for that."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from billing_engine.billing_views.checking import RELATIONS

SEARCH_PATH: Final = "olm_by_key, dbo_by_key, olm, dbo, pg_catalog"
_PLACES: Final = re.compile(
    "|".join(rf'\b{schema}"?\s*\.\s*"?(?:{"|".join(sorted(names))})\b' for schema, names in RELATIONS.items()),
    re.IGNORECASE,
)


@lru_cache(maxsize=100)
def by_key(sql: str) -> str | None:
    """``sql`` on the relations of ``olm_by_key`` and ``dbo_by_key``; None where its text does not let that be certain.

    Only the names of schemas are replaced, and only where each of them is found by two ways of reading. What is in
    doubt is not worth a risk: the view is then run as it is.
    """
    try:
        tokens = sqlglot.tokenize(sql, read="postgres")
    except SqlglotError:
        return None
    text = "".join(_without_comments(sql, tokens))
    # Without these, strings and quoted names end where both readers think they do.
    quoted = any("$" in sql[one.start : one.end + 1] for one in tokens if one.token_type != TokenType.STRING)
    if quoted or "\\" in text or "_by_key" in text.lower():
        return None
    schemas = {a.start for a, dot, name in _threes(tokens) if dot.text == "." and _is_relation(a, name)}
    if len(schemas) != len(_PLACES.findall(text)):
        return None
    return "".join(_without_comments(sql, tokens, schemas))


def _without_comments(sql: str, tokens: Sequence[Token], renamed: Container[int] = ()) -> Iterator[str]:
    """The text token by token, with the space between; those that begin at ``renamed`` have the other schema's name."""
    end = 0
    for token in tokens:
        between = sql[end : token.start]
        yield between if between.isspace() or not between else "\n"
        end = token.end + 1
        said = sql[token.start : end]
        yield f"{said.lower().strip(chr(34))}_by_key" if token.start in renamed else said


def _threes(tokens: list[Token]) -> list[tuple[Token, Token, Token]]:
    return [(a, b, c) for (a, b), (_, c) in pairwise(pairwise(tokens))]


def _is_relation(schema: Token, name: Token) -> bool:
    if TokenType.STRING in (schema.token_type, name.token_type):
        return False
    return name.text.lower() in RELATIONS.get(schema.text.lower(), ())
