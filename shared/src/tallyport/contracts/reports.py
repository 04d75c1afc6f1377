"""``reports.requested``, ``reports.ready`` and ``reports.failed``."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tallyport.contracts.base import Contract, Count, DecimalText, Identifier, Instant, Sha256

ReportFormat = Literal["xlsx", "xls", "xml", "csv"]
CountedBy = Literal["allocated", "used"]
BillingMode = Literal["OPEX", "CAPEX"]


class ReportRequest(Contract):
    """A document somebody wants. ``from_date`` and ``to_date`` are both inclusive; the default is yesterday.

    ``counts`` and ``billing_mode`` are said instead of what the billing settings say, by reports that have them.
    ``run`` is the inventory run that a synchronisation report is about; the default is the last one.
    """

    TYPE: ClassVar[str] = "tallyport.reports.requested.v1"

    report_id: Identifier
    kind: Identifier = "customer-detail"
    format: ReportFormat
    from_date: date | None = None
    to_date: date | None = None
    organisation: Identifier | None = None
    language: str = "en"
    counts: CountedBy | None = None
    billing_mode: BillingMode | None = None
    run: Identifier | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_date and self.to_date and self.from_date > self.to_date:
            raise ValueError(f"from_date {self.from_date} is after to_date {self.to_date}")
        return self


class ReportPart(Contract):
    """One artifact in object storage."""

    TYPE: ClassVar[str] = "tallyport.reports.ready.v1"

    uri: str
    size: Count
    sha256: Sha256
    rows: Count


class BatchRevision(Contract):
    """Which frozen batch the report was made from."""

    TYPE: ClassVar[str] = "tallyport.reports.ready.v1"

    batch_date: date
    revision: int
    sha256: Sha256


class ReportReady(Contract):
    """The report is in object storage and will never change."""

    TYPE: ClassVar[str] = "tallyport.reports.ready.v1"

    report_id: Identifier
    kind: Identifier
    format: ReportFormat
    from_date: date
    to_date: date
    organisation: Identifier | None = None
    language: str = "en"
    parts: list[ReportPart]
    totals: dict[str, DecimalText] = Field(default_factory=dict)
    batches: list[BatchRevision]
    completeness: dict[str, str | int | list[str]] = Field(default_factory=dict)


class ReportFailed(Contract):
    """The report cannot be made; ``reason`` says what to do."""

    TYPE: ClassVar[str] = "tallyport.reports.failed.v1"

    report_id: Identifier
    kind: Identifier
    reason: str
    failed_at: Instant
