"""Writing the audit log in the transaction of what it tells of, reading it, and proving that it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from tallyport.messaging.unit_of_work import UnitOfWork

from billing_engine.audit import store
from billing_engine.audit.model import Author, Chain, Change, Entry, follow

ENTRIES_PER_READ: Final = 2000


async def record(uow: UnitOfWork, author: Author, changes: Sequence[Change]) -> None:
    """Note changes; they are in the log if, and only if, they are made."""
    if changes:
        await store.add(uow.connection, changes, author, uow.now())


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
