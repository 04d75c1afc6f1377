"""Writing the audit log in the transaction of what it tells of, reading it, and proving that it is whole."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from tallyport.audit import Author, Chain, Change, Entry, follow
from tallyport.messaging.unit_of_work import UnitOfWork

from notifier.audit import store
from notifier.audit.store import NewEntry

ENTRIES_PER_READ: Final = 2000
GATE: Final = Author("notifier")
"""What the service does by itself."""


def record(uow: UnitOfWork, author: Author, change: Change) -> None:
    """Note a change; it is in the log if, and only if, it is made.

    Entries follow each other, so writing one keeps all others waiting: they are written last.
    """
    uow.collect(
        _write,
        NewEntry(
            uow.now(),
            author.name,
            author.organisation,
            change.action,
            change.entity,
            _json(change.before),
            _json(change.after),
            author.reason,
        ),
    )


async def _write(uow: UnitOfWork, entries: list[NewEntry]) -> None:
    await store.add(uow.connection, entries)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


async def entries(
    connection: Any,
    *,
    limit: int,
    before: int | None = None,
    entity: str | None = None,
    who: str | None = None,
    since: datetime | None = None,
) -> list[Entry]:
    """The newest entries, before the number ``before`` if it is given. ``entity`` finds what is below it too."""
    return await store.before(connection, before, entity=entity, who=who, since=since, limit=limit)


async def whole(connection: Any) -> AsyncIterator[Entry]:
    """Every entry, oldest first, as they stood at the beginning."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        last = 0
        while some := await store.after(connection, last, ENTRIES_PER_READ):
            for entry in some:
                yield entry
            last = some[-1].audit_no


async def verify(connection: Any, expected: tuple[int, str] | None = None) -> Chain:
    """Follow the chain from the first entry to the last.

    That none was cut off at the end the log cannot tell by itself: ``expected`` is a number and a hash from an earlier
    time, which have to be in it still.
    """
    chain = Chain()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        while chain.first_difference is None:
            some = await store.after(connection, chain.entries, ENTRIES_PER_READ)
            if not some:
                break
            chain = follow(chain, some)
        if expected is not None and chain.first_difference is None:
            number, sha256 = expected
            found = await store.after(connection, number - 1, 1)
            if not found or found[0].sha256 != sha256:
                return replace(chain, first_difference=f"entry {number} with the hash {sha256} is not there any more")
    return chain
