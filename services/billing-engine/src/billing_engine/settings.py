"""The engine's settings, from the environment."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from pydantic import Field, field_validator
from tallyport.settings import DatabaseSettings, Frozen, ServiceSettings


class BillingSettings(Frozen):
    """How a provider bills (``TALLYPORT_BILLING__…``)."""

    time_zone: str = Field(default="UTC", description="whose midnight ends a batch date")
    usage_day_offset: int = Field(
        default=1, ge=0, le=7, description="a batch of D uses the usage of D minus this many days"
    )
    customers_per_range: int = Field(
        default=500, ge=1, le=5000, description="how many customers are computed, frozen and published at a time"
    )

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        ZoneInfo(name)
        return name


class EngineSettings(ServiceSettings):
    """Everything the engine is told."""

    database: DatabaseSettings
    billing: BillingSettings = BillingSettings()
