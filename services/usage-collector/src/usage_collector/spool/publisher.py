"""Sends the spool to the broker: in order, deleted after the acknowledgement, again after whatever went wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from tallyport.messaging.backoff import Backoff
from tallyport.messaging.kafka import producer
from tallyport.settings import KafkaSettings

from usage_collector.metrics import CollectorMetrics
from usage_collector.spool.store import Message, Spool

IDLE_SECONDS: Final = 30.0
STOP_SECONDS: Final = 3.0
STALL_SECONDS: Final = 60.0

log = structlog.get_logger()


class StoppingError(Exception):
    """The collector stops while the broker is still thinking; what was not acknowledged stays in the spool."""


class Publisher:
    """One task. A message that was sent but not acknowledged is sent again: its event id makes it a duplicate."""

    def __init__(
        self, spool: Spool, kafka: KafkaSettings, client_id: str, metrics: CollectorMetrics, stopping: asyncio.Event
    ) -> None:
        self._spool = spool
        self._kafka = kafka
        self._client_id = client_id
        self._metrics = metrics
        self._stopping = stopping
        self._wake = asyncio.Event()
        self._failing_since: float | None = None
        self._error = ""

    def wake(self) -> None:
        """There is something new in the spool."""
        self._wake.set()

    def reason_not_ready(self) -> str | None:
        """Why nothing leaves the spool, once that has lasted; a broker that restarts is no reason."""
        if self._failing_since is None or time.monotonic() - self._failing_since < STALL_SECONDS:
            return None
        return f"nothing leaves the spool for {time.monotonic() - self._failing_since:.0f} s: {self._error}"

    async def run(self) -> None:
        """Publish until the collector stops."""
        backoff = Backoff(self._stopping)
        while not self._stopping.is_set():
            try:
                await self._publish(backoff)
            except StoppingError:
                return
            except (KafkaError, OSError) as error:
                self._failed(error)
                log.warning("broker_away", error=self._error)
            except Exception as error:
                self._failed(error)
                log.exception("publishing_failed")
            await backoff.wait()

    def _failed(self, error: Exception) -> None:
        self._failing_since = self._failing_since or time.monotonic()
        self._error = f"{type(error).__name__}: {error}"

    async def _publish(self, backoff: Backoff) -> None:
        client = producer(self._kafka, self._client_id, linger_ms=5)
        try:
            await self._unless_stopping(client.start())
            while not self._stopping.is_set():
                self._wake.clear()
                last, messages = await asyncio.to_thread(self._spool.next_messages)
                if not messages:
                    self._failing_since = None
                    await self._idle()
                    continue
                await self._unless_stopping(self._send(client, messages))
                await asyncio.to_thread(self._spool.acknowledged, last)
                self._metrics.published.inc(len(messages))
                self._failing_since = None
                backoff.reset()
        finally:
            await _stop(client)

    async def _send(self, client: AIOKafkaProducer, messages: list[Message]) -> None:
        pending = [
            await client.send(
                self._kafka.topic(one.topic), key=one.key, value=one.value, headers=list(one.headers)
            )
            for one in messages
        ]  # fmt: skip
        await asyncio.gather(*pending)

    async def _unless_stopping(self, work: Awaitable[Any]) -> None:
        """Await ``work``, but not beyond the collector's end.

        Raises:
            StoppingError: the collector stops.
        """
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise StoppingError
            working.result()
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def _idle(self) -> None:
        waiting = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waiting, timeout=IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


async def _stop(client: AIOKafkaProducer) -> None:
    """Stop a producer without waiting for a broker that does not come back."""
    try:
        await asyncio.wait_for(client.stop(), timeout=STOP_SECONDS)
    except (TimeoutError, KafkaError, OSError):
        # Its own stop waits until every batch is delivered or has expired; here the spool has them.
        with suppress(KafkaError, OSError):
            await client._sender.close()  # noqa: SLF001 - there is no public way
        await client.client.close()
