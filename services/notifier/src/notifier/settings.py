"""The notifier's settings, from the environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from tallyport.settings import DatabaseSettings, Frozen, ServiceSettings

Origin = Annotated[str, Field(pattern=r"^https?://[^/\s*]+$")]


class GateSettings(Frozen):
    """How the gate asks (``TALLYPORT_GATE__…``)."""

    valid_minutes: int = Field(default=60, ge=1, le=7 * 24 * 60, description="how long a question waits for its answer")
    default_language: str = Field(
        default="en", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="where nobody's has words"
    )
    staff_roles: frozenset[str] = Field(
        default=frozenset(
            {"provider_administrator", "provider_advanced_administrator", "provider_staff", "reseller_administrator"}
        ),
        description="actor roles that are no customer's user: they are not asked, and it is noted",
    )
    origins: tuple[Origin, ...] = Field(
        default=(), description="of the pages that may show and answer a question with its own token; none by default"
    )
    answers_per_minute: int = Field(default=60, ge=1, description="by each token of a customer's administrator")


class NotifierSettings(ServiceSettings):
    """Everything the notifier is told."""

    database: DatabaseSettings
    gate: GateSettings = GateSettings()
