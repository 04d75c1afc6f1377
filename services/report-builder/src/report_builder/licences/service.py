"""Editing licences, their counts and the billing settings, and what a report is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date
from typing import Any

from tallyport.contracts.reports import BillingMode, CountedBy
from tallyport.messaging.unit_of_work import UnitOfWork

from report_builder.licences import store
from report_builder.licences.model import (
    BillingSettings,
    Licence,
    LicenceDocument,
    ManualCount,
    Noted,
    NotedSettings,
    RefusedLicenceError,
    UnknownLicenceError,
    check_date,
)


async def document(connection: Any) -> tuple[LicenceDocument, Noted | None]:
    """The licences there are now, and who said so."""
    return await store.document(connection)


async def put_document(uow: UnitOfWork, wanted: LicenceDocument, noted: Noted) -> None:
    """From now on these are the licences. Counts of one that is gone stay, for when it comes back."""
    await store.put_document(uow.connection, wanted, noted)


async def edit(uow: UnitOfWork) -> None:
    """Be the only editor until the end of the transaction."""
    await store.lock(uow.connection)


async def licence(connection: Any, licence_id: str) -> Licence:
    """One licence.

    Raises:
        UnknownLicenceError: there is none of that id.
    """
    found, _ = await store.document(connection)
    for one in found.licences:
        if one.id == licence_id:
            return one
    raise UnknownLicenceError(f"there is no licence {licence_id!r}")


async def manual_counts(connection: Any, licence_id: str) -> list[ManualCount]:
    """What was entered by hand for one licence, in the order in which it is valid."""
    return await store.manual_counts(connection, licence_id, None)


async def put_manual_count(uow: UnitOfWork, wanted: ManualCount) -> None:
    """From its date on this is the count; the past keeps what it had.

    Raises:
        UnknownLicenceError: there is no such licence.
        RefusedLicenceError: it is calculated, nobody says why, or the past would have another count.
    """
    found = await licence(uow.connection, wanted.licence)
    if found.rule is not None:
        raise RefusedLicenceError(f"licence: {found.id!r} is calculated by its rule, and read-only")
    if not wanted.noted.reason.strip():
        raise RefusedLicenceError("Tallyport-Reason: say why; a count that is entered by hand is kept with its reason")
    first = await store.first_manual_count(uow.connection, wanted.licence)
    check_date(wanted.valid_from, _today(uow), first)
    await store.put_manual_count(uow.connection, wanted)


async def settings(connection: Any, day: date) -> NotedSettings:
    """The billing settings that are valid on a day."""
    return await store.settings(connection, day)


async def put_settings(uow: UnitOfWork, valid_from: date, wanted: BillingSettings, noted: Noted) -> None:
    """From a date on these are the settings; the past keeps those it had.

    Raises:
        RefusedLicenceError: the past would have others.
    """
    check_date(valid_from, _today(uow), await store.first_settings(uow.connection))
    await store.put_settings(uow.connection, valid_from, wanted, noted)


async def terms(
    connection: Any, day: date, *, counts: CountedBy | None, billing_mode: BillingMode | None
) -> dict[str, Any]:
    """All that a report about a day, or the time until then, is made from besides its batches, as plain JSON.

    What the request says goes before the settings.
    """
    found = (await store.settings(connection, day)).settings
    licences, _ = await store.document(connection)
    manual: dict[str, list[list[Any]]] = {}
    for one in await store.manual_counts(connection, None, day):
        manual.setdefault(one.licence, []).append([one.valid_from.isoformat(), one.count])
    return {
        **found.model_dump(mode="json"),
        "counts": counts or found.counts,
        "billing_mode": billing_mode or found.billing_mode,
        "licences": [one.model_dump(mode="json") for one in _in_order(licences.licences)],
        "manual": manual,
    }


def _in_order(licences: Sequence[Licence]) -> list[Licence]:
    return sorted(licences, key=lambda one: (one.order, one.id))


def _today(uow: UnitOfWork) -> date:
    return uow.now().astimezone(UTC).date()
