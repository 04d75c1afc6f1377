"""Bearer tokens for the HTTP interfaces: kept as SHA-256, compared in constant time, each with its roles."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from fastapi import Header, HTTPException, Request


class Role(StrEnum):
    """What a token may do. ``viewer`` reads; ``service`` acts for another service; the administrator may do all."""

    PROVIDER_ADMINISTRATOR = "provider_administrator"
    CUSTOMER_ADMINISTRATOR = "customer_administrator"
    SERVICE = "service"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. ``organisation`` bounds what is seen; None is the whole installation."""

    name: str
    roles: frozenset[Role]
    organisation: str | None = None


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


def require(*roles: Role) -> Callable[..., Awaitable[Principal]]:
    """A FastAPI dependency: a bearer token with one of ``roles``; the provider's administrator always passes."""
    wanted = frozenset(roles) | {Role.PROVIDER_ADMINISTRATOR}

    async def principal(request: Request, authorization: Annotated[str | None, Header()] = None) -> Principal:
        scheme, _, token = (authorization or "").partition(" ")
        store: TokenStore = request.app.state.tokens
        found = store.principal(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise HTTPException(401, "a known bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
        if not found.roles & wanted:
            raise HTTPException(403, f"this needs the role {' or '.join(sorted(wanted))}")
        return found

    return principal
