"""The topics: one list (``topics.yaml``), applied to a broker.

``python -m tallyport_local.topics`` does it as a one-shot job.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from pydantic import BaseModel, ConfigDict, Field
from tallyport.messaging.kafka import admin as kafka_admin
from tallyport.settings import KafkaSettings, ServiceSettings

from tallyport_local.errors import OperationFailedError

DEAD_LETTERS: Final = ".dead-letters"
_TOPIC_ALREADY_EXISTS: Final = 36
SETTLE_TIMEOUT_SECONDS: Final = 30
_SETTLE_POLL_SECONDS: Final = 0.02
_MS_PER_HOUR: Final = 3_600_000
_Positive = Annotated[int, Field(ge=1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Defaults(_Model):
    """What holds for every topic that does not say otherwise."""

    partitions: _Positive
    replication_factor: _Positive
    cleanup: Literal["delete", "compact"]
    retention_hours: _Positive
    max_record_bytes: _Positive


class DeadLetters(_Model):
    """What holds for every ``<topic>.dead-letters``."""

    retention_hours: _Positive
    max_record_bytes: _Positive


class Topic(_Model):
    """One entry of the list; what is absent comes from the defaults."""

    name: str
    key: str
    written_by: list[str]
    read_by: list[str]
    partitions: _Positive | None = None
    cleanup: Literal["delete", "compact"] | None = None
    retention_hours: _Positive | None = None
    max_record_bytes: _Positive | None = None


class BrokerTopic(_Model):
    """A topic as the broker shall have it, companions included; the name is without the prefix."""

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str]


class TopicList(_Model):
    """The whole file."""

    defaults: Defaults
    dead_letters: DeadLetters
    topics: list[Topic]

    def broker_topics(self) -> Iterator[BrokerTopic]:
        """Every topic and its dead letters."""
        for topic in self.topics:
            partitions = topic.partitions or self.defaults.partitions
            cleanup = topic.cleanup or self.defaults.cleanup
            hours = topic.retention_hours or self.defaults.retention_hours
            size = topic.max_record_bytes or self.defaults.max_record_bytes
            yield BrokerTopic(
                name=topic.name,
                partitions=partitions,
                replication_factor=self.defaults.replication_factor,
                config={
                    "cleanup.policy": cleanup,
                    # a compacted topic keeps the last state of every key, however old
                    "retention.ms": "-1" if cleanup == "compact" else str(hours * _MS_PER_HOUR),
                    "max.message.bytes": str(size),
                },
            )
            yield BrokerTopic(
                name=f"{topic.name}{DEAD_LETTERS}",
                partitions=partitions,
                replication_factor=self.defaults.replication_factor,
                config={
                    "cleanup.policy": "delete",
                    "retention.ms": str(self.dead_letters.retention_hours * _MS_PER_HOUR),
                    "max.message.bytes": str(self.dead_letters.max_record_bytes),
                },
            )


def topics_file() -> Path:
    """The list: ``TALLYPORT_TOPICS_FILE``, else the package's own (in the repository a link to ``deploy/kafka``)."""
    named = os.environ.get("TALLYPORT_TOPICS_FILE")
    return Path(named) if named else Path(__file__).with_name("topics.yaml")


def load_topics(file: Path | None = None) -> TopicList:
    """Read the list."""
    return TopicList.model_validate(yaml.safe_load((file or topics_file()).read_text(encoding="utf-8")))


def _check(errors: list[tuple[Any, ...]]) -> None:
    """Raise the first refusal of the broker; ``already exists`` is what was wanted."""
    for name, code, *detail in errors:
        if code not in {0, _TOPIC_ALREADY_EXISTS}:
            raise OperationFailedError(f"topic {name}: {for_code(code).__name__} {' '.join(map(str, detail))}".strip())


async def _present(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """Those of the topics that the broker knows and leads, with their number of partitions."""
    described = await admin.describe_topics(list(names))
    return {
        entry["topic"]: len(entry["partitions"])
        for entry in described
        if not entry["error_code"] and not any(partition["error_code"] for partition in entry["partitions"])
    }


async def apply_topics(settings: KafkaSettings, topics: TopicList) -> int:
    """Create what is missing, add partitions, set the configuration; gives how many were created.

    Partitions are never taken away (Kafka cannot), topics never deleted.

    Raises:
        OperationFailedError: when the broker refuses one.
    """
    wanted = {settings.topic(topic.name): topic for topic in topics.broker_topics()}
    admin = kafka_admin(settings, "tallyport-topics")
    await admin.start()
    try:
        present = await _present(admin, wanted)
        missing = [
            NewTopic(name, topic.partitions, topic.replication_factor, topic_configs=topic.config)
            for name, topic in wanted.items()
            if name not in present
        ]
        if missing:
            _check((await admin.create_topics(missing)).topic_errors)
            async with asyncio.timeout(SETTLE_TIMEOUT_SECONDS):
                # Created is what the controller says; the broker learns of it a moment later.
                while len(await _present(admin, wanted)) < len(wanted):  # noqa: ASYNC110 - nothing here wakes us
                    await asyncio.sleep(_SETTLE_POLL_SECONDS)
        fewer = {n: NewPartitions(wanted[n].partitions) for n, count in present.items() if count < wanted[n].partitions}
        if fewer:
            _check((await admin.create_partitions(fewer)).topic_errors)
        if present:
            await admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name, configs=wanted[name].config) for name in present]
            )
    finally:
        await admin.close()
    return len(missing)


def main() -> None:
    """Apply the list to the broker named by ``TALLYPORT_KAFKA__BOOTSTRAP_SERVERS``."""
    settings = ServiceSettings()
    created = asyncio.run(apply_topics(settings.kafka, load_topics()))
    print(f"{created} topics created")  # noqa: T201 - a one-shot job's only output


if __name__ == "__main__":
    main()
