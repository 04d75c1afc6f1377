"""How far the partitions of a topic reach, which is what a consumer's lag is measured against."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition

from tallyport.messaging.kafka import client_arguments
from tallyport.settings import KafkaSettings


class LogEnds:
    """Asks the broker where partitions end, on a connection of its own.

    A consumer's own connection answers only after the fetch that waits on it, half a second later.
    """

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._arguments = client_arguments(settings, client_id)
        self._client: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def of(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each partition."""
        found: dict[TopicPartition, int] = await (await self._connected()).end_offsets(list(partitions))
        return found

    async def beginnings_of(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the first record that is still there, of each partition."""
        found: dict[TopicPartition, int] = await (await self._connected()).beginning_offsets(list(partitions))
        return found

    async def _connected(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._client is None:
                client = AIOKafkaConsumer(**self._arguments, group_id=None, enable_auto_commit=False)
                try:
                    await client.start()
                except BaseException:
                    await client.stop()
                    raise
                self._client = client
        return self._client

    async def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            await self._client.stop()
            self._client = None
