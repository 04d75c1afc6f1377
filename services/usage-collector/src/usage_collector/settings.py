"""The collector's settings, from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from tallyport.settings import Frozen, ServiceSettings


class SpoolSettings(Frozen):
    """Where what was read waits for the broker (``TALLYPORT_SPOOL__…``)."""

    path: Path = Field(description="a SQLite file on a disk that survives a restart")
    max_bytes: int = Field(
        default=1024 * 1024 * 1024, ge=1024 * 1024, description="sources pause while more than this waits to be sent"
    )


class CollectorSettings(ServiceSettings):
    """Everything the collector is told."""

    spool: SpoolSettings
    sources_file: Path = Field(description="YAML: what is read, and how often")
    collector_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$",
        description="needed where several collectors share a broker: each then sees every request",
    )
