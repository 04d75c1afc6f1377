"""Telling receivers: a message is noted with the event, and sent until it is taken or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import httpx
import structlog
from tallyport.clock import Clock
from tallyport.correlation import correlated
from tallyport.messaging.backoff import Backoff
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.postgres.pool import TRANSIENT_ERRORS

from report_builder.webhooks import store
from report_builder.webhooks.model import EventType, Message, Webhook, message, next_try, signature
from report_builder.webhooks.store import Counts, Delivery, Due

log = structlog.get_logger()

LOOK_SECONDS: Final = 60.0
"""How often to look for messages nobody woke us for: those another instance took and did not settle."""
TRY_SECONDS: Final = 15.0
LEASE_SECONDS: Final = 60.0
FORGET_SECONDS: Final = 3600.0
MAX_ERROR_CHARACTERS: Final = 500
_GONE: Final = 410


class UnknownWebhookError(LookupError):
    """There is no such receiver."""


class Webhooks:
    """The receivers and what waits for them. Each has a loop of its own: one that hangs holds up nobody else."""

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        clock: Clock,
        keep_days: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._webhooks = {one.name: one for one in webhooks}
        self._pool = pool
        self._clock = clock
        self._keep_days = keep_days
        self._transport = transport
        self._stopping = asyncio.Event()
        self._wake = {name: asyncio.Event() for name in self._webhooks}

    # ---- what is to be sent

    async def tell(
        self, uow: UnitOfWork, kind: EventType, event_id: str, data: dict[str, Any], visible_to: frozenset[str]
    ) -> None:
        """Note a message for everybody who wants it, in the transaction of what it tells of."""
        said = message(event_id, kind, data, at=uow.now(), visible_to=visible_to)
        for webhook in self._webhooks.values():
            if _wants(webhook, said):
                await store.enqueue(uow.connection, webhook.name, said)
                uow.after_commit(self._wake[webhook.name].set)

    async def replay(self, connection: Any, name: str, *, since: datetime, only_given_up: bool) -> int:
        """Send again what was settled since a moment; how many messages.

        Raises:
            UnknownWebhookError: there is no such receiver.
        """
        self._known(name)
        found = await store.replay(connection, name, since=since, now=self._clock.now(), only_given_up=only_given_up)
        self._wake[name].set()
        return found

    # ---- how it stands

    async def standing(self, connection: Any) -> list[tuple[Webhook, Counts]]:
        """Each receiver and how it stands."""
        found = await store.counts(connection)
        return [(one, found.get(one.name, Counts())) for one in self._webhooks.values()]

    async def deliveries(self, connection: Any, name: str, *, before: int | None, limit: int) -> list[Delivery]:
        """The messages of a receiver, newest first.

        Raises:
            UnknownWebhookError: there is no such receiver.
        """
        self._known(name)
        return await store.deliveries(connection, name, before=before, limit=limit)

    def _known(self, name: str) -> Webhook:
        try:
            return self._webhooks[name]
        except KeyError:
            raise UnknownWebhookError(f"there is no webhook {name!r}") from None

    # ---- sending

    def stop(self) -> None:
        """Send nothing more."""
        self._stopping.set()
        for wake in self._wake.values():
            wake.set()

    async def run(self) -> None:
        """Send until stopped."""
        if not self._webhooks:
            return
        async with httpx.AsyncClient(
            transport=self._transport, timeout=TRY_SECONDS, follow_redirects=False, trust_env=False
        ) as client:
            await asyncio.gather(*(self._serve(one, client) for one in self._webhooks.values()), self._forget())

    async def _serve(self, webhook: Webhook, client: httpx.AsyncClient) -> None:
        backoff = Backoff(self._stopping)
        wake = self._wake[webhook.name]
        while not self._stopping.is_set():
            wake.clear()
            try:
                async with self._pool.acquire() as connection:
                    due = await store.take(connection, webhook.name, self._clock.now(), LEASE_SECONDS)
                    later = None if due else await store.next_due(connection, webhook.name)
                if due is not None:
                    await self._try(webhook, due, client)
            except TRANSIENT_ERRORS as error:
                log.warning("webhook_waits", webhook=webhook.name, error=f"{type(error).__name__}: {error}")
                await backoff.wait()
                continue
            except Exception:  # a defect met by one message must not end the telling; its lease lets it be tried again
                log.exception("webhook_broke", webhook=webhook.name)
                await backoff.wait()
                continue
            backoff.reset()
            if due is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), self._seconds_until(later))

    def _seconds_until(self, moment: datetime | None) -> float:
        if moment is None:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, max(0.0, (moment - self._clock.now()).total_seconds()))

    async def _try(self, webhook: Webhook, due: Due, client: httpx.AsyncClient) -> None:
        status, error = await _post(webhook, due, client, self._clock.now())
        now = self._clock.now()
        taken = status is not None and httpx.codes.is_success(status)
        again = None if taken or status == _GONE else next_try(due.attempts, now)
        state: store.DeliveryState = "delivered" if taken else "waiting" if again else "given_up"
        async with self._pool.acquire() as connection:
            await store.settle(connection, due, state, status=status, error=error, next_at=again or now, at=now)
        with correlated(due.event_id):
            say = log.info if taken else log.warning
            say("webhook_tried", webhook=webhook.name, state=state, attempt=due.attempts, status=status, error=error)

    async def _forget(self) -> None:
        while not self._stopping.is_set():
            try:
                async with self._pool.acquire() as connection:
                    await store.forget(connection, self._clock.now() - timedelta(days=self._keep_days))
            except TRANSIENT_ERRORS as error:
                log.warning("webhook_retention_waits", error=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("webhook_retention_broke")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), FORGET_SECONDS)


def _wants(webhook: Webhook, said: Message) -> bool:
    return said.type in webhook.events and (webhook.organisation is None or webhook.organisation in said.visible_to)


async def _post(webhook: Webhook, due: Due, client: httpx.AsyncClient, now: datetime) -> tuple[int | None, str | None]:
    """One try: the status, if there was an answer, and what is wrong, if anything."""
    timestamp = int(now.timestamp())
    headers = {
        "content-type": "application/json",
        "user-agent": "tallyport-webhooks/1",
        "webhook-id": due.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(webhook.secret, due.event_id, timestamp, due.body),
    }
    try:
        async with asyncio.timeout(TRY_SECONDS):
            # The answer's body says nothing that we need, and may be endless: it is not read.
            async with client.stream("POST", webhook.url, content=due.body, headers=headers) as answer:
                status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        return None, f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]
    return status, None if httpx.codes.is_success(status) else f"the receiver answered {status}"
