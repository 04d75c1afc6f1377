"""The sales tree as somebody may see it: the provider all of it, a reseller itself and what is below it.

Who may not see an organisation is told what he would be told if there were none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from billing_engine.directory import store


class UnknownOrganisationError(LookupError):
    """There is no such organisation, or none that may be seen."""

    def __init__(self, organisation: str) -> None:
        super().__init__(f"there is no organisation {organisation!r}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an organisation stands: ``chain`` is itself and all above it, nearest first."""

    chain: list[str]
    location: str | None

    @property
    def organisation(self) -> str:
        """Its id."""
        return self.chain[0]

    def below(self, organisation: str) -> bool:
        """Whether it stands strictly below ``organisation``."""
        return organisation in self.chain[1:]

    def from_(self, organisation: str) -> list[str]:
        """The part of the chain that begins with ``organisation``: what that one pays by."""
        return self.chain[self.chain.index(organisation) :]


async def place(connection: Any, organisation: str, *, within: str | None) -> Place:
    """Where ``organisation`` stands; ``within`` is the organisation whose token asks, None for the provider's.

    Raises:
        UnknownOrganisationError: there is none, or it is not ``within`` or below.
    """
    row = await store.place(connection, organisation, within)
    if row is None:
        raise UnknownOrganisationError(organisation)
    return Place(list(row["chain"]), row["location"])


async def locations_below(connection: Any, organisation: str) -> set[str]:
    """The locations of an organisation and all below it."""
    return await store.locations_below(connection, organisation)


async def organisations(connection: Any, *, within: str | None, after: str | None, limit: int) -> list[dict[str, Any]]:
    """Organisations by id: id, type, parent, name, currency, location. The parent of ``within`` is not told."""
    return await store.organisations(connection, within, after, limit)


async def unknown(connection: Any, ids: list[str]) -> set[str]:
    """Which of ``ids`` the directory has not heard of."""
    return set(ids) - await store.known_organisations(connection, ids)
