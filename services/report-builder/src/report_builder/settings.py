"""The report builder's settings, from the environment."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field
from tallyport.settings import DatabaseSettings, Frozen, ServiceSettings

MIN_KEY_BYTES: Final = 32


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
    keep_days: int | None = Field(default=None, ge=1, description="how long artifacts are kept; for ever without it")
    keep_days_by_kind: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description='the same for some kinds, as JSON: {"customer-detail": 400}'
    )


class LinkSettings(Frozen):
    """Links that give an artifact to whoever has them (``TALLYPORT_LINKS__…``)."""

    key_file: Path | None = Field(
        default=None,
        description="secret that links of a folder are signed with, the same in every instance; without it they end "
        "with the process",
    )
    public_url: str = Field(
        default="", description="how others reach this service; links without it begin with /downloads"
    )

    def key(self) -> bytes:
        """The secret: at least 32 bytes.

        Raises:
            ValueError: the file holds less.
        """
        if self.key_file is None:
            return secrets.token_bytes(32)
        found = self.key_file.read_bytes().strip()
        if len(found) < MIN_KEY_BYTES:
            raise ValueError(f"{self.key_file}: the key has {len(found)} bytes, at least {MIN_KEY_BYTES} are needed")
        return found


class WebhookSettings(Frozen):
    """Receivers that are told what became of reports (``TALLYPORT_WEBHOOKS__…``)."""

    file: Path | None = Field(
        default=None,
        description="JSON list of receivers: name, url, secret_file, and if wanted events, organisation, allow_http",
    )
    keep_days: int = Field(default=90, ge=1, description="how long settled messages are kept, to be sent again")


class ReportBuilderSettings(ServiceSettings):
    """Everything the report builder is told."""

    database: DatabaseSettings
    object_store: ObjectStoreSettings
    reports: ReportSettings = ReportSettings()
    links: LinkSettings = LinkSettings()
    webhooks: WebhookSettings = WebhookSettings()
