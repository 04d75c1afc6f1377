"""The notifier's settings, from the environment."""

from __future__ import annotations

from pydantic import Field
from tallyport.settings import DatabaseSettings, Frozen, ServiceSettings


class GateSettings(Frozen):
    """How the gate asks (``TALLYPORT_GATE__…``)."""

    valid_minutes: int = Field(default=60, ge=1, le=7 * 24 * 60, description="how long a question waits for its answer")


class NotifierSettings(ServiceSettings):
    """Everything the notifier is told."""

    database: DatabaseSettings
    gate: GateSettings = GateSettings()
