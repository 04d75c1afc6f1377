"""What the local stack reads from the environment. Services get their own environment, built in ``services.py``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_cache() -> Path:
    """The user's cache folder for this program, as the XDG base directory specification has it."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tallyport"


class ReplacedKafka(BaseModel):
    """A broker that runs already (``TALLYPORT_KAFKA__…``); the services read the same variables themselves."""

    model_config = ConfigDict(frozen=True, extra="allow")

    bootstrap_servers: str | None = None
    topic_prefix: str = "tallyport."
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"


class ReplacedObjectStore(BaseModel):
    """An object store that exists already (``TALLYPORT_OBJECT_STORE__…``)."""

    model_config = ConfigDict(frozen=True, extra="allow")

    url: str | None = None


class LocalSettings(BaseSettings):
    """The stack's settings; every part that is named here is not started, but used."""

    model_config = SettingsConfigDict(
        env_prefix="TALLYPORT_", env_nested_delimiter="__", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data: Path = Field(default=Path(".data"), description="the data folder of the stack")
    cache: Path = Field(default_factory=default_cache, description="where downloaded jars are kept")
    maven_url: str = Field(
        default="https://repo1.maven.org/maven2", description="a Maven repository or mirror of Maven Central"
    )
    kafka: ReplacedKafka = ReplacedKafka()
    object_store: ReplacedObjectStore = ReplacedObjectStore()
    postgres_admin_dsn: SecretStr | None = Field(
        default=None, description="a PostgreSQL 18 on which databases and roles may be created"
    )
    kafka_java_options: str = Field(
        default="", description="options of the embedded broker's Java, after the stack's own, separated by spaces"
    )
    start_timeout_seconds: int = Field(default=120, ge=1)
