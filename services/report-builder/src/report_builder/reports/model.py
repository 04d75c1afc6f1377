"""What was asked for, how far it is, and what may be asked for at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    # Reading contracts takes as long as a small report; a rendering process needs none.
    from tallyport.contracts.reports import BillingMode, CountedBy, ReportFormat, ReportRequest

LANGUAGES: Final = ("de", "en", "es", "fr")
MAX_DAYS: Final = 400
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")

ReportState = Literal["requested", "rendering", "ready", "failed", "cancelled"]
FINISHED: Final = frozenset({"ready", "failed", "cancelled"})
Facts = dict[str, str | int | list[str]]
Terms = dict[str, Any]
"""What else but batches a report is made from, by value, as plain JSON."""

FORMATS: Final = ("csv", "xls", "xlsx", "xml")


@dataclass(frozen=True, slots=True)
class KindRule:
    """What a request for a kind of report must say, and which batches it is made from.

    ``of_organisation``: it is about one organisation, which must be named. ``compares``: it needs the batches of as
    many days before the period, too. ``formats`` are those it is made in. ``provider_only``: it is about the whole
    installation, and nobody who is bound to an organisation gets it. ``of_month``: its period is in one month, from the
    first on if nothing is said. ``terms`` is what else it is made from: the licences, or an inventory run instead of
    batches.
    """

    of_organisation: bool = False
    compares: bool = False
    formats: tuple[str, ...] = FORMATS
    provider_only: bool = False
    of_month: bool = False
    terms: Literal["licences", "run"] | None = None


KINDS: Final = {
    "allocation-and-usage": KindRule(formats=("xml",), terms="licences"),
    "billing-summary": KindRule(compares=True),
    "customer-detail": KindRule(),
    "licence-report": KindRule(formats=("xml",), provider_only=True, terms="licences"),
    "reseller-detail": KindRule(of_organisation=True),
    "subscription-usage": KindRule(formats=("xls", "xlsx"), provider_only=True, of_month=True, terms="licences"),
    "synchronisation": KindRule(formats=("xlsx", "xml"), provider_only=True, terms="run"),
}


class RefusedRequestError(ValueError):
    """The request can never be fulfilled; the message says why."""


class RepeatedRequestError(ValueError):
    """Another report was asked for under the same id."""


class UnknownReportError(LookupError):
    """There is no such report, or the asker may not see it, which is the same to him."""


class ProvidersReportError(PermissionError):
    """The report is about the whole installation, and the asker is bound to an organisation."""


class UnknownOrganisationError(LookupError):
    """There is no such organisation at or below the asker's."""


class OthersReportError(ValueError):
    """It may be seen, and was asked for by somebody who is not bound to the same organisation."""


class FinishedReportError(ValueError):
    """It is too late to cancel."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks. ``organisation`` bounds what he may see: itself and what is below it; None is the provider."""

    name: str
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request with its dates settled."""

    report_id: str
    kind: str
    format: ReportFormat
    from_date: date
    to_date: date
    organisation: str | None
    language: str
    counts: CountedBy | None = None
    billing_mode: BillingMode | None = None
    run: str | None = None


@dataclass(frozen=True, slots=True)
class PinnedBatch:
    """A revision the report is made from."""

    batch_date: date
    revision: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """One artifact of a report."""

    key: str
    uri: str
    size: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Report:
    """A request and what became of it."""

    wanted: Wanted
    state: ReportState
    batches: tuple[PinnedBatch, ...]
    missing: tuple[date, ...]
    completeness: Facts
    rows_done: int
    rows_total: int | None
    attempts: int
    totals: dict[str, Decimal]
    reason: str | None
    correlation_id: str | None
    requested_at: datetime
    asker: Asker
    visible_to: frozenset[str]
    let_go_at: datetime | None
    remarks: Facts
    terms: Terms | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished render tells."""

    parts: tuple[Part, ...]
    totals: dict[str, Decimal]
    completeness: Facts


def settle(request: ReportRequest, asked_at: datetime) -> Wanted:
    """Fill in the dates: yesterday (UTC) when none is given, one day when one is.

    A report of a month begins on its first day then, and one about an inventory run is about today.

    Raises:
        RefusedRequestError: an unknown kind or language, or a period that is longer than a report may be.
    """
    rule = KINDS.get(request.kind, KindRule())
    today = asked_at.astimezone(UTC).date()
    usual = today if rule.terms == "run" else today - timedelta(days=1)
    to_date = request.to_date or request.from_date or usual
    from_date = request.from_date or (to_date.replace(day=1) if rule.of_month else to_date)
    if request.kind not in KINDS:
        raise RefusedRequestError(f"kind: {request.kind!r} is not one of {', '.join(KINDS)}")
    if request.language not in LANGUAGES:
        raise RefusedRequestError(f"language: {request.language!r} is not one of {', '.join(LANGUAGES)}")
    if request.format not in rule.formats:
        raise RefusedRequestError(f"format: a {request.kind} is made as {' or '.join(rule.formats)}")
    if rule.provider_only and request.organisation is not None:
        raise RefusedRequestError(f"organisation: a {request.kind} is about the whole installation; leave it out")
    if rule.of_month and (from_date.year, from_date.month) != (to_date.year, to_date.month):
        raise RefusedRequestError(f"to_date: a {request.kind} is about one month; ask for several")
    _see_what_applies(request, rule)
    if rule.of_organisation and request.organisation is None:
        raise RefusedRequestError(f"organisation: a {request.kind} is about one organisation; say which")
    if (to_date - from_date).days >= MAX_DAYS:
        raise RefusedRequestError(f"to_date: a report covers at most {MAX_DAYS} days; ask for several")
    return Wanted(
        report_id=request.report_id,
        kind=request.kind,
        format=request.format,
        from_date=from_date,
        to_date=to_date,
        organisation=request.organisation,
        language=request.language,
        counts=request.counts,
        billing_mode=request.billing_mode,
        run=request.run,
    )


def _see_what_applies(request: ReportRequest, rule: KindRule) -> None:
    """What has no meaning for a kind is refused rather than passed over."""
    for field in ("counts", "billing_mode"):
        if getattr(request, field) is not None and rule.terms != "licences":
            raise RefusedRequestError(f"{field}: a {request.kind} has none; leave it out")
    if request.run is not None and rule.terms != "run":
        raise RefusedRequestError(f"run: a {request.kind} is not about an inventory run; leave it out")


def same_request(request: ReportRequest, known: Wanted) -> bool:
    """Whether it is the same request: a date that was left open then is left open now, and means what it meant."""

    def dates(one: date | None, settled: date) -> bool:
        return one is None or one == settled

    return (
        (request.kind, request.format, request.organisation, request.language)
        == (known.kind, known.format, known.organisation, known.language)
        and (request.counts, request.billing_mode, request.run) == (known.counts, known.billing_mode, known.run)
        and dates(request.from_date, known.from_date)
        and dates(request.to_date, known.to_date)
    )


def reach_back(wanted: Wanted) -> date:
    """The first date whose batch is needed: that of the period, or of the one of the same length just before it."""
    if not KINDS[wanted.kind].compares:
        return wanted.from_date
    return wanted.from_date - (wanted.to_date - wanted.from_date) - timedelta(days=1)


def missing_dates(wanted: Wanted, present: set[date]) -> tuple[date, ...]:
    """The dates of the period for which there is no batch."""
    days = (wanted.to_date - wanted.from_date).days + 1
    return tuple(day for offset in range(days) if (day := wanted.from_date + timedelta(days=offset)) not in present)


def completeness(missing: tuple[date, ...], batches: dict[date, dict[str, Any]]) -> Facts:
    """The report's completeness statement: the dates, and what each batch says of itself."""
    facts: Facts = {"dates_expected": len(missing) + len(batches), "dates_missing": [str(day) for day in missing]}
    for day, statement in sorted(batches.items()):
        for name, value in sorted(statement.items()):
            facts[f"{day}.{name}"] = value
    return facts


def visible_to(chains: Iterable[Sequence[str]]) -> frozenset[str]:
    """Those at or above a report's organisation in every batch that knows it, given its chain upward in each."""
    known = [frozenset(chain) for chain in chains if chain]
    return frozenset.intersection(*known) if known else frozenset()


def without_names(facts: Facts) -> Facts:
    """The statement for readers of one part of the tree: how many, where it would name what may be others'."""
    found: Facts = {}
    for name, value in facts.items():
        fact = name.rpartition(".")[2]
        if not isinstance(value, list) or _all_dates(value):
            found[name] = value
        elif fact == "unreached":
            found[f"{name}_places"] = len(value)
        elif fact != "late_not_billed_reasons":
            found[name] = len(value)
    return found


def _all_dates(values: list[str]) -> bool:
    return all(_DATE.fullmatch(value) for value in values)
