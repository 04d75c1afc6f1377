"""What does not fit together, over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict
from tallyport.access.tokens import Principal, Role, require
from tallyport.clock import Clock
from tallyport.rest.openapi import problems

from notifier.reconciliation import service

DEFAULT_DAYS = 7


class NeverPerformed(BaseModel):
    """An allowed request of which nobody has told the outcome."""

    request_id: str
    action: str
    customer: str
    reason: str
    decided_at: datetime


class NeverDecided(BaseModel):
    """Something that was bought, or got another plan, without an allowed request for it."""

    kind: str
    id: str
    customer: str
    old_plan: str | None
    new_plan: str
    at: datetime


class ReconciliationView(BaseModel):
    """What was allowed and never came, and what came and was never allowed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "since": "2026-11-16T09:30:00Z", "complete": True,
                    "never_performed": [
                        {"request_id": "create-user-1", "action": "create_user", "customer": "cust-002",
                         "reason": "confirmed", "decided_at": "2026-11-20T10:00:00Z"}
                    ],
                    "never_decided": [
                        {"kind": "subscription", "id": "cust-002-u9", "customer": "cust-002", "old_plan": None,
                         "new_plan": "VB-PLUS", "at": "2026-11-21T08:00:00Z"}
                    ],
                }
            ]
        }
    )  # fmt: skip

    since: datetime
    complete: bool
    never_performed: list[NeverPerformed]
    never_decided: list[NeverDecided]


def reconciliation_router(pool: asyncpg.Pool[asyncpg.Record], clock: Clock) -> APIRouter:
    """``/v1/gate/reconciliation``."""
    router = APIRouter(prefix="/v1/gate/reconciliation", tags=["reconciliation"])

    @router.get("", responses=problems(422))
    async def reconcile(
        _: Annotated[Principal, Depends(require(Role.VIEWER))],
        since: AwareDatetime | None = None,
        customer: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
        grace_minutes: Annotated[int, Query(ge=0, le=7 * 24 * 60)] = 60,
    ) -> ReconciliationView:
        """Decisions that were never performed, and performed actions that were never decided: who went around the gate.

        An allowed request has `grace_minutes` to be performed. Without `since`, the last seven days are looked at.
        """
        begin = since or clock.now() - timedelta(days=DEFAULT_DAYS)
        async with pool.acquire() as connection:
            found = await service.reconcile(
                connection, since=begin, now=clock.now(), grace=timedelta(minutes=grace_minutes), customer=customer
            )
        return ReconciliationView(
            since=begin,
            complete=found.complete,
            never_performed=[NeverPerformed(**one) for one in found.never_performed],
            never_decided=[NeverDecided.model_validate(asdict(one)) for one in found.never_decided],
        )

    return router
