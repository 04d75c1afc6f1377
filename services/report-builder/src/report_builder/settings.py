"""The report builder's settings, from the environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field
from tallyport.settings import DatabaseSettings, Frozen, ServiceSettings


class ObjectStoreSettings(Frozen):
    """Where artifacts go (``TALLYPORT_OBJECT_STORE__…``)."""

    url: str = Field(description="file:///folder, or s3://bucket/prefix, gs://…, az://…", pattern=r"^[a-z0-9+]+://.+")
    options_file: Path | None = Field(
        default=None, description="JSON object with the store's options: endpoint, region, keys, allow_http"
    )

    def options(self) -> dict[str, Any]:
        """What the file says.

        Raises:
            TypeError: it is not a JSON object.
        """
        if self.options_file is None:
            return {}
        options = json.loads(self.options_file.read_text(encoding="utf-8"))
        if not isinstance(options, dict):
            raise TypeError(f"{self.options_file}: a JSON object is expected")
        return options


class ReportSettings(Frozen):
    """How reports are made (``TALLYPORT_REPORTS__…``)."""

    concurrent_renders: int = Field(default=1, ge=1, le=16, description="rendering processes at a time")
    max_attempts: int = Field(default=5, ge=1, description="how often a render that ends unexpectedly is tried")


class ReportBuilderSettings(ServiceSettings):
    """Everything the report builder is told."""

    database: DatabaseSettings
    object_store: ObjectStoreSettings
    reports: ReportSettings = ReportSettings()
