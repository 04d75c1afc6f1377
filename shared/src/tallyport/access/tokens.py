"""Bearer tokens for the HTTP interfaces: kept as SHA-256, compared in constant time, each with its roles."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from fastapi import Header, HTTPException, Request


class Role(StrEnum):
    """What a token may do. ``viewer`` reads; ``service`` acts for another service; the administrator may do all.

    ``provider_advanced_administrator`` is a privilege that some of the provider's administrators hold besides: what
    asks for it is refused to the others. The reseller's roles are those of one organisation of the sales tree, and
    reach what is below it.
    """

    PROVIDER_ADMINISTRATOR = "provider_administrator"
    PROVIDER_ADVANCED_ADMINISTRATOR = "provider_advanced_administrator"
    RESELLER_ADMINISTRATOR = "reseller_administrator"
    RESELLER_VIEWER = "reseller_viewer"
    CUSTOMER_ADMINISTRATOR = "customer_administrator"
    SERVICE = "service"
    VIEWER = "viewer"


RESELLER_ROLES: Final = frozenset({Role.RESELLER_ADMINISTRATOR, Role.RESELLER_VIEWER})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. ``organisation`` bounds what is seen; None is the whole installation."""

    name: str
    roles: frozenset[Role]
    organisation: str | None = None

    def __post_init__(self) -> None:
        """See that the roles and the bounds fit together: a reseller without one would be nobody's, or everybody's.

        Raises:
            ValueError: they do not.
        """
        if self.organisation is None and self.roles & RESELLER_ROLES:
            raise ValueError(f"token {self.name!r}: a reseller's role needs an organisation")
        if self.organisation is not None and Role.PROVIDER_ADMINISTRATOR in self.roles:
            raise ValueError(f"token {self.name!r}: the provider's administrator is not bounded by an organisation")
        if Role.PROVIDER_ADVANCED_ADMINISTRATOR in self.roles and Role.PROVIDER_ADMINISTRATOR not in self.roles:
            raise ValueError(f"token {self.name!r}: only a provider_administrator can have the advanced privilege")


class TokenStore:
    """The tokens an installation accepts. Without a file there are none, and every call is refused."""

    def __init__(self, principals: dict[str, Principal]) -> None:
        self._principals = principals

    @classmethod
    def from_file(cls, path: Path | None) -> Self:
        """Read ``[{"name", "sha256", "roles", "organisation"?}]``.

        Raises:
            ValueError: the file is not of that form.
        """
        if path is None:
            return cls({})
        principals: dict[str, Principal] = {}
        for entry in json.loads(path.read_text(encoding="utf-8")):
            roles = frozenset(Role(role) for role in entry["roles"])
            principals[entry["sha256"].lower()] = Principal(entry["name"], roles, entry.get("organisation"))
        return cls(principals)

    def principal(self, token: str) -> Principal | None:
        """Whose token this is."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found: Principal | None = None
        for known, principal in self._principals.items():
            if hmac.compare_digest(known, digest):
                found = principal
        return found


def require(*roles: Role, bounded: bool = False, privileged: bool = False) -> Callable[..., Awaitable[Principal]]:
    """A FastAPI dependency: a bearer token with one of ``roles``; the provider's administrator always passes.

    A token of one organisation passes only where the operation says that it is ``bounded``: that it narrows what it
    shows and does to the principal's organisation. What does not say so is about the whole installation.
    What is ``privileged`` passes nobody without one of ``roles``, not even the provider's administrator.
    """
    wanted = frozenset(roles) if privileged else frozenset(roles) | {Role.PROVIDER_ADMINISTRATOR}

    async def principal(
        request: Request,
        # The document names the token as what it is, not as a header field of each operation.
        authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Principal:
        scheme, _, token = (authorization or "").partition(" ")
        store: TokenStore = request.app.state.tokens
        found = store.principal(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise HTTPException(401, "a known bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
        if not found.roles & wanted:
            raise HTTPException(403, f"this needs the role {' or '.join(sorted(wanted))}")
        if found.organisation is not None and not bounded:
            raise HTTPException(403, "this is about the whole installation, and the token is of one organisation")
        return found

    return principal
