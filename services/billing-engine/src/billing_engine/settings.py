"""The engine's settings, from the environment."""

from __future__ import annotations

from datetime import time
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator
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

    daily_at: time | None = Field(
        default=None,
        description="when each day's batch begins, HH:MM in that time zone; empty: nothing begins by itself",
    )
    catch_up_days: int = Field(
        default=35, ge=1, le=400, description="how many days back missed batches are made up for, today included"
    )
    lateness_days: int = Field(
        default=35, ge=0, description="how many days back a batch is corrected when usage arrives late"
    )
    adjustment_approval: bool = Field(
        default=False, description="whether a second person has to approve an adjustment before it is billed"
    )
    keep_usage_days: int = Field(default=400, ge=35, description="how long samples are kept")
    keep_versions_days: int = Field(default=800, ge=35, description="how long replaced rows of the directory are")
    keep_runs_days: int = Field(default=400, ge=35, description="how long what collectors say of their runs is kept")
    keep_batches_days: int | None = Field(default=None, ge=35, description="how long frozen lines are; empty: for ever")

    sell_below_cost: bool = Field(
        default=False, description="whether a reseller may sell to those below it at less than it pays itself"
    )
    require_if_match: bool = Field(
        default=False, description="whether an edit without If-Match (or If-None-Match) is refused with 428"
    )

    @field_validator("daily_at")
    @classmethod
    def _local(cls, at: time | None) -> time | None:
        if at is not None and at.tzinfo is not None:
            raise ValueError("a local time has no offset; TALLYPORT_BILLING__TIME_ZONE says whose it is")
        return at

    @model_validator(mode="after")
    def _is_kept(self) -> Self:
        kept = {
            "keep_usage_days": self.keep_usage_days - self.usage_day_offset,
            "keep_versions_days": self.keep_versions_days,
            "keep_batches_days": self.keep_batches_days,
        }
        for name, days in kept.items():
            if days is not None and self.lateness_days > days:
                raise ValueError(
                    f"lateness_days is {self.lateness_days}; with this {name}, what corrections are made from is kept "
                    f"for {days} days: lower lateness_days or raise {name}"
                )
        return self

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        ZoneInfo(name)
        return name


class ViewsDatabaseSettings(DatabaseSettings):
    """The login that registered SQL views run as, and their limits (``TALLYPORT_VIEWS_DATABASE__…``)."""

    statement_timeout_seconds: int = Field(default=60, ge=1, le=3600)
    lock_timeout_seconds: int = Field(default=2, ge=1)
    run_timeout_seconds: float = Field(
        default=120, gt=0, le=7200, description="for a view's whole run, reading included"
    )
    max_result_megabytes: int = Field(default=256, ge=1, le=16_384, description="of what a view gives")
    runs_at_once: int = Field(default=2, ge=1, le=3, description="how many views may run at the same time")


class EngineSettings(ServiceSettings):
    """Everything the engine is told."""

    database: DatabaseSettings
    billing: BillingSettings = BillingSettings()
    views_database: ViewsDatabaseSettings | None = None
