"""Open questions over HTTP."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.actions import Quote
from tallyport.rest.openapi import problems

from notifier.confirmations import store


class ConfirmationView(BaseModel):
    """A question to a customer and what became of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "confirmation_id": "cf_1k8z", "request_id": "create-user-1", "action": "create_user",
                    "customer": "cust-002", "state": "open", "message": "Create a user for Example Ltd ...",
                    "message_html": "<p>Create a user for <bdi>Example Ltd</bdi> ...</p>", "language": "en",
                    "quote": {"currency": "EUR", "lines": [{"plan": "VB-PLUS", "quantity": "1"}], "sha256": "9b" * 32},
                    "confirmations_needed": 1, "confirmed_by": [], "answered_by": None,
                    "asked_at": "2026-11-23T09:30:00Z", "expires_at": "2026-11-23T10:30:00Z",
                }
            ]
        }
    )  # fmt: skip

    confirmation_id: str
    request_id: str
    action: str
    customer: str
    state: str
    message: str
    message_html: str | None
    language: str
    quote: Quote
    confirmations_needed: int
    confirmed_by: list[str]
    answered_by: str | None
    asked_at: datetime
    expires_at: datetime


def confirmations_router(pool: asyncpg.Pool[asyncpg.Record]) -> APIRouter:
    """``/v1/confirmations``."""
    router = APIRouter(prefix="/v1/confirmations", tags=["confirmations"])

    @router.get("", responses=problems(422))
    async def listing(
        who: Annotated[Principal, Depends(require(Role.VIEWER, Role.CUSTOMER_ADMINISTRATOR, bounded=True))],
        state: str | None = None,
        customer: str | None = None,
        limit: int = 100,
    ) -> list[ConfirmationView]:
        """Questions, newest first; a customer's token sees that customer's only."""
        async with pool.acquire() as connection:
            rows = await store.listing(
                connection, state=state, customer=who.organisation or customer, limit=min(max(limit, 1), 1000)
            )
        return [
            ConfirmationView.model_validate(
                row
                | {
                    "confirmation_id": row["id"],
                    "request_id": row["request"],
                    "quote": json.loads(row["quote"]),
                    "confirmations_needed": row["needed"],
                }
            )
            for row in rows
        ]

    return router
