"""Settings that every service reads the same way: from the environment, or from files for secrets.

Names are nested with two underscores: ``TALLYPORT_KAFKA__BOOTSTRAP_SERVERS``. A secret has no default, never appears
in a representation, and is best given as a file (``..._FILE``), as Docker and Kubernetes mount them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Frozen(BaseModel):
    """A settings group: unchangeable, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _secret(value: SecretStr | None, file: Path | None, name: str) -> SecretStr | None:
    """The secret itself, from the value or from the file; both at once is an error."""
    if value is not None and file is not None:
        raise ValueError(f"{name} and {name}_file are both set; keep one")
    if file is None:
        return value
    return SecretStr(file.read_text(encoding="utf-8").strip())


class KafkaSettings(Frozen):
    """How to reach the broker (``TALLYPORT_KAFKA__…``)."""

    bootstrap_servers: str = Field(description="host:port, comma separated")
    topic_prefix: str = "tallyport."
    instance: str | None = Field(
        default=None,
        description="a name that exactly one process of a service bears, however often it restarts (a pod's, in a "
        "StatefulSet): it takes its partitions back at once; a nameless one waits for its predecessor's session to end",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    ssl_ca_file: Path | None = None

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.password()):
            raise ValueError("sasl_username and sasl_password (or sasl_password_file) are needed with SASL")
        return self

    def password(self) -> str | None:
        """The SASL password in clear, for the client only."""
        secret = _secret(self.sasl_password, self.sasl_password_file, "sasl_password")
        return secret.get_secret_value() if secret else None

    def topic(self, name: str) -> str:
        """The full topic name of ``name`` in this installation."""
        return f"{self.topic_prefix}{name}"


class DatabaseSettings(Frozen):
    """The service's own database (``TALLYPORT_DATABASE__…``). ``dsn`` holds no password."""

    dsn: str = Field(description="postgresql://role@host:port/database")
    password: SecretStr | None = None
    password_file: Path | None = None
    pool_size: int = Field(default=8, ge=2, le=64)
    statement_timeout_seconds: int = Field(default=600, ge=1)
    lock_timeout_seconds: int = Field(default=30, ge=1)

    def secret(self) -> str | None:
        """The password in clear, for the driver only."""
        secret = _secret(self.password, self.password_file, "password")
        return secret.get_secret_value() if secret else None


class HttpSettings(Frozen):
    """Where the service's HTTP API listens (``TALLYPORT_HTTP__…``)."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    tokens_file: Path | None = Field(
        default=None, description="JSON list of accepted tokens; without it every API call is refused"
    )
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024, description="larger requests are refused with 413")


class LogSettings(Frozen):
    """How the service logs (``TALLYPORT_LOG__…``)."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class ServiceSettings(BaseSettings):
    """The base of each service's settings object."""

    model_config = SettingsConfigDict(
        env_prefix="TALLYPORT_", env_nested_delimiter="__", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    kafka: KafkaSettings
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
