"""The provider's own words in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tallyport.postgres.queries import load_queries

from notifier.messages.model import Template

_QUERIES: Final = load_queries("notifier.messages")

Connection = Any  # an asyncpg connection, from a pool or not


async def texts_for(
    connection: Connection, action: str, languages: Sequence[str]
) -> Mapping[tuple[str, str], Template]:
    """The words for an action in these languages, by action (or ``*``) and language."""
    rows = await connection.fetch(_QUERIES["texts_for"], action, list(languages))
    return {(row["action"], row["language"]): Template(row["text"], row["format"] == "markdown") for row in rows}


async def texts(connection: Connection) -> list[dict[str, Any]]:
    """Everything that administrators have written."""
    return [dict(row.items()) for row in await connection.fetch(_QUERIES["texts"])]


async def put(connection: Connection, action: str, language: str, said: Template, *, by: str, at: datetime) -> None:
    """Enter the words of an action in a language."""
    form = "markdown" if said.markdown else "plain"
    await connection.execute(_QUERIES["put_text"], action, language, form, said.text, by, at)


async def remove(connection: Connection, action: str, language: str) -> Template | None:
    """Take words out; they are given back, None if there were none."""
    row = await connection.fetchrow(_QUERIES["remove_text"], action, language)
    return Template(row["text"], row["format"] == "markdown") if row is not None else None
