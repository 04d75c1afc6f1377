"""The images, built once a session, and an installation made of them."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import yaml
from docker_engine import ROOT, TAG, TOKEN, Installation, build_all, docker, image, missing_image, works
from tallyport.settings import KafkaSettings
from tallyport_local.postgres.databases import COLLECTOR_ROLE, roles_of
from tallyport_local.services import DEFAULT_SOURCES, SERVICES, Surroundings
from tallyport_local.state import DataFolder, choose_port
from tallyport_local.testing import DATABASES, Infrastructure

# As in the compose file; /tmp is the container's own.
HARDENED = (
    "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true",  # noqa: S108
)  # fmt: skip


@pytest.fixture(scope="session")
def images() -> None:
    """Every target of the Dockerfile is built."""
    build_all()


def _operator(urls: dict[str, str], kafka: str, prefix: str) -> dict[str, str]:
    named = {f"TALLYPORT_{name.upper().replace('-', '_')}_URL": url for name, url in urls.items()}
    return named | {
        "TALLYPORT_TOKEN": TOKEN,
        "TALLYPORT_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "TALLYPORT_KAFKA__TOPIC_PREFIX": prefix,
    }


def _write_tokens(file: Path) -> None:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    file.unlink(missing_ok=True)
    file.write_text(
        json.dumps(
            [
                {
                    "name": "operator",
                    "sha256": digest,
                    "roles": ["provider_administrator", "provider_advanced_administrator"],
                }
            ]
        ),
        encoding="utf-8",
    )


# ---- the service images beside servers that are no containers


class Beside:
    """The service images on the host's network, with the session's Kafka and PostgreSQL."""

    def __init__(self, infrastructure: Infrastructure, topic_prefix: str, folder: DataFolder) -> None:
        self.folder = folder
        self.infrastructure = infrastructure
        self.containers: dict[str, str] = {}
        self.surroundings = Surroundings(
            folder=folder,
            kafka=infrastructure.kafka,
            topic_prefix=topic_prefix,
            postgres=infrastructure.server,
            object_store=folder.objects.as_uri(),
        )

    def prepare(self) -> None:
        """The folder as the containers' user, who is another than ours, can read it."""
        self.folder.create()
        admin = self.infrastructure.admin_password or urlsplit(self.infrastructure.admin_dsn).password or ""
        passwords = {role: self.infrastructure.password(role) for role in roles_of(DATABASES)}
        for name, text in (passwords | {"postgres-admin": admin}).items():
            (self.folder.secrets / name).write_text(text, encoding="utf-8")
        _write_tokens(self.folder.secrets / "tokens")
        (self.folder.collector / "inbox").mkdir()
        (self.folder.collector / "sources.yaml").write_text(
            DEFAULT_SOURCES.format(
                inbox=self.folder.collector / "inbox",
                dsn=self.surroundings.dsn("postgres", COLLECTOR_ROLE),
                password_file=self.folder.secret_file(COLLECTOR_ROLE),
            ),
            encoding="utf-8",
        )
        for path in (self.folder.root, *self.folder.root.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o644)

    def _run(self, target: str, env: dict[str, str], *arguments: str, detach: bool = False) -> str:
        said = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        volume = f"{self.folder.root}:{self.folder.root}"
        how = ("--detach",) if detach else ("--rm",)
        return docker("run", *how, "--network", "host", *HARDENED, "--volume", volume, *said, image(target), *arguments)

    def start(self) -> dict[str, str]:
        """Topics, databases, migrations, services; the URLs."""
        kafka = {"TALLYPORT_KAFKA__BOOTSTRAP_SERVERS": self.surroundings.kafka,
                 "TALLYPORT_KAFKA__TOPIC_PREFIX": self.surroundings.topic_prefix}  # fmt: skip
        self._run("tools", kafka, "tallyport_local.topics")
        server = urlsplit(self.infrastructure.admin_dsn)
        admin = f"postgresql://{server.username}@{server.hostname}:{server.port or 5432}{server.path}"
        databases = {"TALLYPORT_POSTGRES_ADMIN_DSN": admin, "TALLYPORT_SECRETS_DIR": str(self.folder.secrets)}
        self._run("tools", databases, "tallyport_local.postgres.databases")
        ports: dict[str, int] = {}
        for service in SERVICES:
            port = choose_port(service.name, ports)
            if service.database:
                self._run(service.name, self._settings(self.surroundings.migrate(service).env), "migrate")
            env = self._settings(self.surroundings.environment(service, port))
            self.containers[service.name] = self._run(service.name, env, detach=True)
        return {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}

    def _settings(self, env: dict[str, str]) -> dict[str, str]:
        settings = {name: value for name, value in env.items() if name.startswith("TALLYPORT_")}
        return settings | {"TALLYPORT_HTTP__TOKENS_FILE": str(self.folder.secrets / "tokens")}


async def _drop_databases(infrastructure: Infrastructure) -> None:
    connection = await infrastructure.admin()
    try:
        for name in DATABASES:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def beside_servers(
    images: None,  # noqa: ARG001
    infrastructure: Infrastructure,
    kafka: KafkaSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Installation]:
    """The services as containers on the host's network."""
    connection = await infrastructure.admin()
    taken = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = ANY ($1)", list(DATABASES))
    await connection.close()
    if taken:
        pytest.skip("this PostgreSQL holds an installation; it is left alone")
    beside = Beside(infrastructure, kafka.topic_prefix, DataFolder(tmp_path_factory.mktemp("images") / "stack"))
    try:
        beside.prepare()
        urls = beside.start()
        yield Installation("host", _operator(urls, infrastructure.kafka, kafka.topic_prefix), beside.containers)
    finally:
        if beside.containers:
            docker("rm", "--force", "--volumes", *beside.containers.values())
        await _drop_databases(infrastructure)


# ---- the whole compose file


@contextmanager
def _compose(folder: Path) -> Iterator[tuple[str, ...]]:
    """A copy of the compose file with secrets of its own, and without the ports it publishes; ended at the end."""
    shutil.copy(ROOT / "docker-compose.yml", folder)
    (folder / "deploy" / "docker").mkdir(parents=True)
    for name in ("make-secrets.sh", "sources.yaml"):
        shutil.copy(ROOT / "deploy" / "docker" / name, folder / "deploy" / "docker")
    subprocess.run(["/bin/sh", str(folder / "deploy/docker/make-secrets.sh")], check=True, capture_output=True)
    _write_tokens(folder / "deploy/docker/secrets/tokens.json")
    closed = "".join(f"  {service.name}: {{ports: !reset []}}\n" for service in SERVICES)
    (folder / "closed.yml").write_text(f"services:\n{closed}", encoding="utf-8")
    project = f"tallyport-test-{secrets.token_hex(4)}"
    files = ("--file", str(folder / "docker-compose.yml"), "--file", str(folder / "closed.yml"))
    command = ("compose", "--project-name", project, "--project-directory", str(folder), *files)
    try:
        yield command
    finally:
        docker(*command, "down", "--volumes", "--timeout", "5", code=None, TALLYPORT_VERSION=TAG)


@pytest.fixture(scope="module")
def composed(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:  # noqa: ARG001
    """The compose file as a whole, where its servers' images can be had."""
    if trouble := works("compose", "version"):
        pytest.skip(f"Docker has no compose command: {trouble}")
    model = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    for name in sorted({one["image"] for one in model["services"].values() if "build" not in one}):
        if trouble := missing_image(name):
            pytest.skip(f"the image {name} cannot be had: {trouble}")
    with _compose(tmp_path_factory.mktemp("compose")) as command:
        docker(*command, "up", "--detach", "--no-build", seconds=300, TALLYPORT_VERSION=TAG)
        ids = {
            service.name: docker(*command, "ps", "--all", "--quiet", service.name, TALLYPORT_VERSION=TAG)
            for service in SERVICES
        }
        urls = {service.name: f"http://{service.name}:8080" for service in SERVICES}
        yield Installation(f"{command[2]}_default", _operator(urls, "kafka:9092", "tallyport."), ids)
