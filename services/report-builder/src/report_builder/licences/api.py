"""Licences, their counts and the billing settings over HTTP: all of it is the provider's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from tallyport.access.tokens import Principal, Role, require
from tallyport.contracts.base import DecimalText
from tallyport.messaging.unit_of_work import UnitOfWork
from tallyport.observability.http import ProblemError
from tallyport.rest.etags import Conditions, etag_of
from tallyport.rest.openapi import problems
from tallyport.rest.reasons import Reason

from report_builder.licences import service
from report_builder.licences.counting import calculated
from report_builder.licences.model import (
    MAX_COUNT,
    BillingSettings,
    Licence,
    LicenceDocument,
    LicenceId,
    ManualCount,
    Noted,
    NotedSettings,
    RefusedLicenceError,
    UnknownLicenceError,
)
from report_builder.warehouse import reading

UnitsOfWork = Callable[[str], AbstractAsyncContextManager[UnitOfWork]]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Editor = Annotated[Principal, Depends(require(Role.PROVIDER_ADMINISTRATOR))]

_NOTED: Final[dict[str, Any]] = {
    "noted_at": "2026-11-23T06:30:00Z",
    "noted_by": "operator",
    "reason": "as counted on the machines",
}
_MANUAL: Final[dict[str, Any]] = {"count": 12, "valid_from": "2026-12-01"}
_COUNTS: Final[dict[str, Any]] = {
    "licence": "uc-advanced",
    "source": "calculated",
    "batch_date": "2026-11-22",
    "calculated": "1204",
    "manual": [],
}
_SETTINGS: Final[dict[str, Any]] = {
    "licence_model": "subscription",
    "counts": "used",
    "billing_mode": "OPEX",
    "assurance": True,
    "move_to_cloud": False,
    "valid_from": "2026-12-01",
}


class NewManualCount(BaseModel):
    """A count entered by hand, valid from a date on (today, in UTC, if none is said)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_MANUAL]})

    count: int = Field(ge=0, le=MAX_COUNT)
    valid_from: date | None = None


class ManualView(BaseModel):
    """A count entered by hand: from when on, by whom, when and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_MANUAL, **_NOTED}]})

    count: int
    valid_from: date
    noted_at: datetime
    noted_by: str
    reason: str


class CountsView(BaseModel):
    """What one licence counts in one batch, and all that was ever entered by hand; null is "no data"."""

    model_config = ConfigDict(json_schema_extra={"examples": [_COUNTS]})

    licence: str
    source: str
    batch_date: date | None
    calculated: DecimalText | None
    manual: list[ManualView]


class SettingsBody(BillingSettings):
    """The settings, and from when on they are valid (today, in UTC, if nothing is said)."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_SETTINGS]})

    valid_from: date | None = None


class SettingsView(SettingsBody):
    """The settings that are valid, since when, and who said so; nobody while they hold of themselves."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_SETTINGS, **_NOTED}]})

    noted_at: datetime | None
    noted_by: str | None
    reason: str | None


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UnknownLicenceError as error:
        raise ProblemError(404, "Unknown licence", str(error)) from None
    except RefusedLicenceError as error:
        field, _, words = str(error).partition(": ")
        raise ProblemError(422, "The request is not valid", str(error), [{"field": field, "message": words}]) from None


def _noted(uow: UnitOfWork, who: Principal, why: str) -> Noted:
    return Noted(uow.now(), who.name, why)


def _today(uow: UnitOfWork) -> date:
    return uow.now().astimezone(UTC).date()


def _manual_view(one: ManualCount) -> ManualView:
    noted = one.noted
    return ManualView(
        count=one.count, valid_from=one.valid_from, noted_at=noted.at, noted_by=noted.by, reason=noted.reason
    )


def licences_router(unit_of_work: UnitsOfWork) -> APIRouter:
    """``/v1/licences``."""
    router = APIRouter(prefix="/v1/licences")

    @router.get("")
    async def show(_: Viewer, conditions: Conditions, response: Response) -> LicenceDocument:
        """All licences, as one document."""
        async with unit_of_work("api") as uow:
            found, _noted_by = await service.document(uow.connection)
        response.headers["ETag"] = etag_of(found)
        return conditions.not_modified(etag_of(found)) or found  # type: ignore[return-value]  # an answer of its own

    @router.put("", responses=problems(412))
    async def put(
        body: LicenceDocument, who: Editor, conditions: Conditions, response: Response, why: Reason = ""
    ) -> LicenceDocument:
        """Make these the licences: all that there are. Reports that were made stay as they are."""
        async with unit_of_work("api") as uow:
            await service.edit(uow)
            conditions.check(etag_of((await service.document(uow.connection))[0]), "the licences")
            await service.put_document(uow, body, _noted(uow, who, why))
        response.headers["ETag"] = etag_of(body)
        return body

    @router.get("/{licence_id}/counts", responses=problems(404))
    async def counts(
        licence_id: LicenceId, _: Viewer, day: Annotated[date | None, Query(alias="date")] = None
    ) -> CountsView:
        """What a licence counts in the batch of a date (the newest, if none is said), and what was entered by hand."""
        with _refusals():
            async with unit_of_work("api") as uow:
                return await _counts(uow, await service.licence(uow.connection, licence_id), day)

    @router.put("/{licence_id}/manual-count", responses=problems(404))
    async def put_count(licence_id: LicenceId, body: NewManualCount, who: Editor, why: Reason = "") -> ManualView:
        """Enter a count by hand, with the reason; from its date on it is valid, and the past keeps what it had."""
        with _refusals():
            async with unit_of_work("api") as uow:
                await service.edit(uow)
                wanted = ManualCount(licence_id, body.valid_from or _today(uow), body.count, _noted(uow, who, why))
                await service.put_manual_count(uow, wanted)
        return _manual_view(wanted)

    return router


async def _counts(uow: UnitOfWork, licence: Licence, day: date | None) -> CountsView:
    connection: Any = uow.connection
    if day is None:
        batch = await reading.newest_batch(connection)
    else:
        found = await reading.current_batches(connection, day, day)
        batch = found[0].key if found else None
    value: Decimal | None = None
    if licence.rule is not None and batch is not None:
        settings = (await service.settings(connection, batch[0])).settings
        rule = licence.rule.model_dump(mode="json")
        [value] = await calculated(connection, rule, [batch], counts=settings.counts)
    return CountsView(
        licence=licence.id,
        source="manual" if licence.rule is None else "calculated",
        batch_date=batch[0] if batch else None,
        calculated=value,
        manual=[_manual_view(one) for one in await service.manual_counts(connection, licence.id)],
    )


def _settings_view(found: NotedSettings) -> SettingsView:
    noted = found.noted
    return SettingsView(
        **found.settings.model_dump(),
        valid_from=found.valid_from,
        noted_at=noted.at if noted else None,
        noted_by=noted.by if noted else None,
        reason=noted.reason if noted else None,
    )


def settings_router(unit_of_work: UnitsOfWork) -> APIRouter:
    """``/v1/billing-settings``."""
    router = APIRouter(prefix="/v1/billing-settings")

    @router.get("")
    async def show(
        _: Viewer, conditions: Conditions, response: Response, day: Annotated[date | None, Query(alias="date")] = None
    ) -> SettingsView:
        """The settings that are valid on a date (today, if none is said)."""
        async with unit_of_work("api") as uow:
            found = _settings_view(await service.settings(uow.connection, day or _today(uow)))
        response.headers["ETag"] = etag_of(found)
        return conditions.not_modified(etag_of(found)) or found  # type: ignore[return-value]  # an answer of its own

    @router.put("", responses=problems(412))
    async def put(
        body: SettingsBody, who: Editor, conditions: Conditions, response: Response, why: Reason = ""
    ) -> SettingsView:
        """Make these the settings from a date on; the past keeps those it had."""
        with _refusals():
            async with unit_of_work("api") as uow:
                await service.edit(uow)
                current = _settings_view(await service.settings(uow.connection, _today(uow)))
                conditions.check(etag_of(current), "the billing settings")
                since = body.valid_from or _today(uow)
                wanted = BillingSettings(**body.model_dump(exclude={"valid_from"}))
                noted = _noted(uow, who, why)
                await service.put_settings(uow, since, wanted, noted)
        view = _settings_view(NotedSettings(wanted, since, noted))
        response.headers["ETag"] = etag_of(view)
        return view

    return router
