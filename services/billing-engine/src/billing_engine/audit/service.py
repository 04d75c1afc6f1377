"""Writing the audit log in the transaction of what it tells of, reading it, and proving that it is whole."""

from __future__ import annotations

from collections.abc import Sequence
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


async def verify(connection: Any) -> Chain:
    """Follow the chain from the first entry to the last. That none was cut off at the end, its last hash tells."""
    chain = Chain()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        while chain.first_difference is None:
            some = await store.after(connection, chain.entries, ENTRIES_PER_READ)
            if not some:
                break
            chain = follow(chain, some)
    return chain
