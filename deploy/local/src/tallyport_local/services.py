"""The services as the local stack runs them: what each needs, and the environment that says so."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tallyport_local.postgres.confined import views_role_of
from tallyport_local.postgres.databases import COLLECTOR_ROLE, owner_of
from tallyport_local.processes import Launch
from tallyport_local.state import DataFolder

_INHERITED: Final = (
    "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
_OURS_ALONE: Final = ("TALLYPORT_DATA", "TALLYPORT_CACHE", "TALLYPORT_MAVEN_URL", "TALLYPORT_POSTGRES_ADMIN_DSN")


@dataclass(frozen=True)
class Service:
    """One service process: ``python -m <package> serve``, and ``migrate`` before it when it has a database."""

    name: str
    package: str
    database: str | None = None
    object_store: bool = False
    collects: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


SERVICES: Final = (
    Service("billing-engine", "billing_engine", database="billing_engine"),
    Service("notifier", "notifier", database="notifier"),
    Service("report-builder", "report_builder", database="report_builder", object_store=True),
    Service("usage-collector", "usage_collector", collects=True),
)

DEFAULT_SOURCES: Final = """# What the usage collector reads, and how often. Changed by hand; kept by `tallyport up`.
sources:
  - name: dropped-files
    kind: csv
    folder: {inbox}
    every_seconds: 5
  - name: databases
    kind: postgres
    dsn: {dsn}
    password_file: {password_file}
    every_seconds: 3600
"""


@dataclass(frozen=True)
class Surroundings:
    """What the stack knows and the services must be told."""

    folder: DataFolder
    kafka: str
    topic_prefix: str
    postgres: str
    object_store: str

    def dsn(self, database: str, role: str) -> str:
        """A DSN without the password."""
        return f"postgresql://{role}@{self.postgres}/{database}"

    def _base(self) -> dict[str, str]:
        """What every service gets; the operator's TALLYPORT_ settings first, so that a replaced part keeps them."""
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        env |= {k: v for k, v in os.environ.items() if k.startswith("TALLYPORT_") and k not in _OURS_ALONE}
        return env | {
            "PYTHONUNBUFFERED": "1",
            "TALLYPORT_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "TALLYPORT_KAFKA__TOPIC_PREFIX": self.topic_prefix,
            "TALLYPORT_KAFKA__INSTANCE": "local",
        }

    def _database(self, database: str, role: str) -> dict[str, str]:
        return {
            "TALLYPORT_DATABASE__DSN": self.dsn(database, role),
            "TALLYPORT_DATABASE__PASSWORD_FILE": str(self.folder.secret_file(role)),
        }

    def environment(self, service: Service, port: int) -> dict[str, str]:
        """The environment of ``serve``."""
        env = self._base() | {
            "TALLYPORT_HTTP__HOST": "127.0.0.1",
            "TALLYPORT_HTTP__PORT": str(port),
            "TALLYPORT_HTTP__TOKENS_FILE": str(self.folder.tokens_file),
        }
        if service.database:
            env |= self._database(service.database, service.database)
            if role := views_role_of(service.database):
                env["TALLYPORT_VIEWS_DATABASE__DSN"] = self.dsn(service.database, role)
                env["TALLYPORT_VIEWS_DATABASE__PASSWORD_FILE"] = str(self.folder.secret_file(role))
        if service.object_store:
            env["TALLYPORT_OBJECT_STORE__URL"] = self.object_store
        if service.collects:
            env["TALLYPORT_SPOOL__PATH"] = str(self.folder.collector / "spool.sqlite")
            env.setdefault("TALLYPORT_SOURCES_FILE", str(self._sources_file()))
        return env | dict(service.env)

    def serve(self, service: Service, port: int) -> Launch:
        """How to start the service."""
        return self._launch(service, "serve", self.environment(service, port), service.name)

    def migrate(self, service: Service) -> Launch:
        """How to apply its migrations, as the owner of its database."""
        database = service.database or ""
        env = self.environment(service, 0) | self._database(database, owner_of(database))
        return self._launch(service, "migrate", env, f"{service.name}-migrate")

    def _launch(self, service: Service, verb: str, env: dict[str, str], log: str) -> Launch:
        return Launch(
            argv=(sys.executable, "-m", service.package, verb), env=env, log=self.folder.log(log), cwd=self.folder.root
        )

    def _sources_file(self) -> Path:
        """The collector's sources: a watched folder, and the sizes of the databases on this very server."""
        file = self.folder.collector / "sources.yaml"
        if not file.exists():
            inbox = self.folder.collector / "inbox"
            inbox.mkdir(exist_ok=True)
            text = DEFAULT_SOURCES.format(
                inbox=inbox,
                dsn=self.dsn("postgres", COLLECTOR_ROLE),
                password_file=self.folder.secret_file(COLLECTOR_ROLE),
            )
            file.write_text(text, encoding="utf-8")
        return file
