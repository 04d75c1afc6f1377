"""How reports are asked for: ``reports.requested``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tallyport.contracts.reports import ReportRequest
from tallyport.correlation import correlated
from tallyport.messaging.dispatch import EventDispatcher, Subscription
from tallyport.messaging.inbox import SourceNumbers
from tallyport.messaging.record import Event
from tallyport.messaging.unit_of_work import UnitOfWork

from report_builder.reports.model import Asker, RefusedRequestError, RepeatedRequestError
from report_builder.reports.service import ReportService, refuse

TOPIC = "reports.requested"


def reports_subscription(service: ReportService, sources: SourceNumbers) -> Subscription:
    """Requests from anyone allowed to write the topic."""

    async def apply(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        for event in events:
            request: ReportRequest = event.data
            try:
                # "Yesterday" is the requester's: the event's time, however late it is read.
                with correlated(event.correlation_id):
                    await service.request(
                        uow,
                        request,
                        asked_at=event.time,
                        asker=Asker(event.source),
                        correlation_id=event.correlation_id,
                    )
            except RefusedRequestError as error:
                refuse(uow, request, error, event.correlation_id)
            except RepeatedRequestError as error:
                uow.reject(event, f"conflict: {error}")

    return Subscription(
        topic=TOPIC,
        group="report-builder.reports",
        process=EventDispatcher(apply, {ReportRequest.TYPE: ReportRequest.read}, sources),
    )
