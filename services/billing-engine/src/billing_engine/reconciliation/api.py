"""Reconciliation over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.rest.openapi import problems

from billing_engine.billing_views.model import Dates
from billing_engine.reconciliation import service
from billing_engine.reconciliation.model import Acknowledgement, Finding, FindingKind, Thresholds

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Administrator = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]


DEFAULTS: Final = Thresholds()


class AcknowledgeRequest(BaseModel):
    """Why a finding may stay; with ``until`` it comes back after that date."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "test accounts, kept on purpose", "until": None}]}
    )

    reason: Annotated[str, Field(min_length=1, max_length=500, examples=["test accounts, kept on purpose"])]
    until: date | None = None


class AcknowledgementView(BaseModel):
    """Who has looked at a finding, and why it may stay."""

    by: str
    at: datetime
    reason: str
    until: date | None


class FindingView(BaseModel):
    """One thing that does not agree."""

    id: str
    kind: FindingKind
    message: str
    facts: dict[str, Any]
    acknowledged: AcknowledgementView | None


class ReconciliationView(BaseModel):
    """What does not agree, and how much of it nobody has looked at."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "batch_date": "2026-11-23",
                    "usage_day": "2026-11-22",
                    "open": 1,
                    "findings": [
                        {
                            "id": "0f1132abf062f74d",
                            "kind": "allocation_below_use",
                            "message": "acme has 10 of HE-GOLD (HE) and uses 12",
                            "facts": {
                                "customer": "acme", "service": "HE", "plan": "HE-GOLD", "allocated": 10, "used": 12,
                            },
                            "acknowledged": None,
                        }
                    ],
                }
            ]
        }
    )  # fmt: skip

    batch_date: date
    usage_day: date
    open: int
    findings: list[FindingView]


def _view(finding: Finding) -> dict[str, Any]:
    said = finding.acknowledged
    return {
        "id": finding.id,
        "kind": finding.kind,
        "message": finding.message,
        "facts": finding.facts,
        "acknowledged": None if said is None else asdict(said),
    }


def reconciliation_router(
    pool: asyncpg.Pool[asyncpg.Record],
    unit_of_work: Callable[[], AbstractAsyncContextManager[UnitOfWork]],
    dates: Callable[[date | None], Dates],
    today: Callable[[], date],
) -> APIRouter:
    """``/v1/reconciliation`` and ``/v1/findings``."""
    router = APIRouter(prefix="/v1")

    @router.get("/reconciliation", responses=problems(422))
    async def reconcile(
        _: Viewer,
        batch_date: Annotated[date | None, Query(alias="date")] = None,
        quiet_days: Annotated[int, Query(ge=1, le=365)] = DEFAULTS.quiet_days,
        moved_percent: Annotated[int, Query(ge=0, le=10_000)] = DEFAULTS.moved_percent,
        moved_amount: Annotated[int, Query(ge=0)] = DEFAULTS.moved_amount,
        limit: Annotated[int, Query(ge=1, le=10_000, description="at most so many of a kind")] = DEFAULTS.limit,
    ) -> ReconciliationView:
        """Compare usage, directory and the batch of a date (default: today's) with each other and the batch before."""
        wanted = dates(batch_date)
        thresholds = Thresholds(quiet_days, moved_percent, moved_amount, limit)
        async with pool.acquire() as connection:
            found = await service.reconcile(
                connection,
                batch_date=wanted.batch_date,
                usage_day=wanted.usage_day,
                today=today(),
                thresholds=thresholds,
            )
        return ReconciliationView(
            batch_date=wanted.batch_date,
            usage_day=wanted.usage_day,
            open=sum(one.acknowledged is None for one in found),
            findings=[FindingView.model_validate(_view(one)) for one in found],
        )

    @router.post("/findings/{finding_id}/acknowledge", status_code=204)
    async def acknowledge(
        finding_id: Annotated[str, Path(pattern="^[0-9a-f]{16}$")], request: AcknowledgeRequest, who: Administrator
    ) -> None:
        """Say why a finding may stay."""
        async with unit_of_work() as uow:
            said = Acknowledgement(who.name, uow.now(), request.reason, request.until)
            await service.acknowledge(uow, finding_id, said)

    return router
