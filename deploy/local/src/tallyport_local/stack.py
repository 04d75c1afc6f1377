"""The embedded stack: Kafka, PostgreSQL, an object store and the services, as one thing that starts and stops.

The supervisor runs it for the operator; tests use it directly::

    async with Stack(DataFolder(path), LocalSettings(), services=()) as stack:
        await stack.kill("kafka")
        await stack.wait_ready("kafka")
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
from tallyport.settings import KafkaSettings

from tallyport_local.errors import OperationFailedError
from tallyport_local.kafka import broker
from tallyport_local.kafka.jars import Progress, ensure_jars, locked_jars
from tallyport_local.part import Part
from tallyport_local.postgres import cluster
from tallyport_local.postgres.databases import ensure_databases, roles_of
from tallyport_local.postgres.placement import place
from tallyport_local.processes import Identity, Launch, last_lines, run_to_end
from tallyport_local.recovery import end_leftovers
from tallyport_local.services import SERVICES, Service, Surroundings
from tallyport_local.settings import LocalSettings
from tallyport_local.state import DataFolder, State, choose_port
from tallyport_local.topics import apply_topics, load_topics

KAFKA: Final = "kafka"
POSTGRES: Final = "postgres"
MIGRATION_TIMEOUT_SECONDS: Final = 600
ORPHAN_PATIENCE_SECONDS: Final = 10.0

Report = Callable[[str, float], None]
"""Called with what was just finished and the seconds it took."""


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Run all at once; the first failure ends the others and is raised as itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for piece in work:
                group.create_task(piece)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _ready(url: str) -> bool:
    """Whether the service there says that it is ready."""
    async with httpx.AsyncClient(timeout=3, trust_env=False) as client:
        try:
            response = await client.get(f"{url}/health/ready")
        except httpx.HTTPError:
            return False
        return response.status_code == httpx.codes.OK


class Stack:
    """All parts of one data folder. An async context manager; leaving it leaves no process behind."""

    def __init__(
        self,
        folder: DataFolder,
        settings: LocalSettings,
        *,
        services: Sequence[Service] = SERVICES,
        report: Report = lambda _what, _seconds: None,
        progress: Progress | None = None,
        restart: bool = True,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.services = {service.name: service for service in services}
        self.parts: dict[str, Part] = {}
        self.state = State()
        self._report = report
        self._progress = progress
        self._restart = restart

    # ---- the whole

    async def __aenter__(self) -> Self:
        """Start everything; what was started is ended again when something fails."""
        try:
            await self.up()
        except BaseException:
            await self.down()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self.down()

    async def up(self) -> None:
        """Start the infrastructure, make topics, databases and schemas, start the services; returns when all is ready.

        Raises:
            TallyportError: naming the part that did not come up, with the end of its log.
        """
        began = time.monotonic()
        await asyncio.to_thread(self.recover)
        self.state.phase = "starting"
        self._save()
        await _together(self._start_kafka(), self._start_postgres())
        services = list(self.services.values())
        await _together(
            self._timed("topics", self.ensure_topics()),
            *(self._timed(f"migrations of {s.name}", self.migrate(s)) for s in services if s.database),
        )
        await _together(*(self.start(service.name) for service in services))
        await _together(*(self._timed(service.name, self.wait_ready(service.name)) for service in services))
        self.state.phase = "ready"
        self._save()
        self._report("everything", time.monotonic() - began)

    async def down(self) -> None:
        """Stop the services, then the infrastructure."""
        self.state.phase = "stopping"
        self._save()
        infrastructure = (KAFKA, POSTGRES)
        await asyncio.gather(*(part.stop() for name, part in self.parts.items() if name not in infrastructure))
        await asyncio.gather(*(part.stop() for name, part in self.parts.items() if name in infrastructure))
        self.state.phase = "stopped"
        self.state.supervisor = None
        self._save()

    def recover(self) -> None:
        """Take over what an earlier run left: its ports and tokens; processes that still run are ended, by identity."""
        self.folder.create()
        self.folder.write_tokens()
        old = self.folder.read_state()
        self.state = State(ports=old.ports, supervisor=Identity.of(os.getpid()))
        end_leftovers(old)

    # ---- single parts

    async def start(self, name: str) -> None:
        """Start a part that is down; returns at once. Infrastructure keeps its ports."""
        if name not in self.parts:
            self.parts[name] = self._service_part(self.services[name])
        await self.parts[name].start()

    async def stop(self, name: str) -> None:
        """Stop a part; it stays down until ``start``."""
        await self.parts[name].stop()

    async def kill(self, name: str, *, stay_down: bool = False) -> None:
        """SIGKILL a part with its children. It is started again at once, unless it shall ``stay_down``."""
        await self.parts[name].kill(stay_down=stay_down)

    async def wait_ready(self, *names: str, timeout_seconds: float | None = None) -> None:
        """Until the named parts (all, if none is named) are ready.

        Raises:
            TallyportError: when one was given up, or the time is over.
        """
        timeout = timeout_seconds or self.settings.start_timeout_seconds
        await asyncio.gather(*(self.parts[name].wait_ready(timeout) for name in names or self.parts))

    def url(self, name: str) -> str:
        """The base URL of a service."""
        return f"http://127.0.0.1:{self.state.ports[name]}"

    # ---- what it is made of

    @property
    def kafka(self) -> KafkaSettings:
        """How clients reach the broker."""
        if self.settings.kafka.bootstrap_servers:
            return KafkaSettings.model_validate(self.settings.kafka.model_dump())
        return KafkaSettings(
            bootstrap_servers=f"127.0.0.1:{self.state.ports[KAFKA]}", topic_prefix=self.settings.kafka.topic_prefix
        )

    @property
    def admin_dsn(self) -> str:
        """The administrator's DSN, without a password when the server is embedded."""
        given = self.settings.postgres_admin_dsn
        if given:
            return given.get_secret_value()
        return f"postgresql://{cluster.ADMIN}@127.0.0.1:{self.state.ports[POSTGRES]}/postgres"

    @property
    def admin_password(self) -> str | None:
        """The embedded administrator's password."""
        return None if self.settings.postgres_admin_dsn else self.folder.secret("postgres-admin")

    @property
    def surroundings(self) -> Surroundings:
        """What the services are told."""
        server = urlsplit(self.admin_dsn)
        return Surroundings(
            folder=self.folder,
            kafka=self.kafka.bootstrap_servers,
            topic_prefix=self.kafka.topic_prefix,
            postgres=f"{server.hostname}:{server.port or 5432}",
            object_store=self.settings.object_store.url or self.folder.objects.as_uri(),
        )

    async def ensure_topics(self) -> None:
        """Create the topics that are missing."""
        await apply_topics(self.kafka, load_topics())

    async def migrate(self, service: Service) -> None:
        """Apply a service's migrations.

        Raises:
            OperationFailedError: with the end of their log.
        """
        launch = self.surroundings.migrate(service)
        if await run_to_end(launch, MIGRATION_TIMEOUT_SECONDS) != 0:
            raise OperationFailedError(f"the migrations of {service.name} failed:\n{last_lines(launch.log)}")

    async def _start_kafka(self) -> None:
        began = time.monotonic()
        if not self.settings.kafka.bootstrap_servers:
            jars = await asyncio.to_thread(
                ensure_jars, locked_jars(), self.settings.cache / "kafka", self.settings.maven_url, self._progress
            )
            port = choose_port(KAFKA, self.state.ports)
            controller_port = choose_port("kafka-controller", self.state.ports)
            node = broker.Broker(
                self.folder.kafka,
                jars,
                port=port,
                controller_port=controller_port,
                log=self.folder.log(KAFKA),
                java_options=self.settings.kafka_java_options.split(),
            )
            answers = partial(broker.answers, node.bootstrap_servers)
            self.parts[KAFKA] = self._part(KAFKA, prepare=node.prepare, ready=answers, url=node.bootstrap_servers)
            await self.start(KAFKA)
            await self.wait_ready(KAFKA)
        self.state.kafka = self.kafka.bootstrap_servers
        self.state.topic_prefix = self.kafka.topic_prefix
        self._save()
        self._report(f"Kafka on {self.state.kafka}", time.monotonic() - began)

    async def _start_postgres(self) -> None:
        began = time.monotonic()
        if not self.settings.postgres_admin_dsn:
            placement = await asyncio.to_thread(
                place, self.folder.root, self.folder.short_hash, self.folder.secret("stack-id")
            )
            port = choose_port(POSTGRES, self.state.ports)
            server = cluster.Cluster(
                placement,
                port=port,
                password_file=self.folder.secret_file("postgres-admin"),
                log=self.folder.log(POSTGRES),
            )
            self.parts[POSTGRES] = self._part(
                POSTGRES,
                prepare=server.prepare,
                ready=lambda: cluster.answers(self.admin_dsn, self.admin_password),
                url=f"127.0.0.1:{port}",
            )
            await self.start(POSTGRES)
            await self.wait_ready(POSTGRES)
        databases = [service.database for service in self.services.values() if service.database]
        passwords = {role: self.folder.secret(role) for role in roles_of(databases)}
        await ensure_databases(self.admin_dsn, self.admin_password, passwords)
        self.state.postgres = self.surroundings.postgres
        self.state.object_store = self.surroundings.object_store
        self._save()
        self._report(f"PostgreSQL on {self.state.postgres}", time.monotonic() - began)

    def _service_part(self, service: Service) -> Part:
        port = choose_port(service.name, self.state.ports)

        async def prepare() -> Launch:
            return await asyncio.to_thread(self.surroundings.serve, service, port)

        return self._part(
            service.name, prepare=prepare, ready=partial(_ready, self.url(service.name)), url=self.url(service.name)
        )

    def _part(
        self,
        name: str,
        *,
        prepare: Callable[[], Awaitable[Launch]],
        ready: Callable[[], Awaitable[bool]],
        url: str,
    ) -> Part:
        return Part(name, prepare=prepare, ready=ready, changed=self._changed, url=url, restart=self._restart)

    async def _timed(self, what: str, work: Awaitable[None]) -> None:
        began = time.monotonic()
        await work
        self._report(what, time.monotonic() - began)

    def _changed(self, name: str) -> None:
        self.state.parts[name] = self.parts[name].state
        self._save()

    def _save(self) -> None:
        self.folder.write_state(self.state)
