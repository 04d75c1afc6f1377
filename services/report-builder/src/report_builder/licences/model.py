"""What licences are, and how the provider bills; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from tallyport.contracts.base import Identifier
from tallyport.contracts.directory import ProvisioningStatus
from tallyport.contracts.reports import BillingMode, CountedBy

MAX_LICENCES: Final = 500
MAX_COUNT: Final = 10**12
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]+$"

Family = Literal["telephony", "contact_centre", "premium_software_assurance", "move_to_cloud", "other"]
Pattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=_PRINTABLE),
    Field(description="of plan ids; * is any text, ? any one character"),
]
LicenceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class RefusedLicenceError(ValueError):
    """It can never be; the message names the field."""


class UnknownLicenceError(LookupError):
    """There is no such licence."""


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    service: Identifier | None = None
    plans: Pattern = "*"


class AllocationRule(_Rule):
    """The sum of what customers were given of some plans, or of what is used of it.

    ``of`` is for a licence that is always counted that way; without it, the report or the billing settings say.
    """

    count: Literal["allocations"]
    of: CountedBy | None = None


class LineRule(_Rule):
    """How many lines there are of some plans and units.

    ``status`` are the provisioning statuses that count; without it, every one but ``NotProvisioned``.
    """

    count: Literal["lines"]
    unit: Identifier | None = None
    status: Annotated[list[ProvisioningStatus], Field(min_length=1)] | None = None


class UserRule(LineRule):
    """How many users have a user plan, each once."""

    count: Literal["users"]  # type: ignore[assignment]  # another tag of the same shape


Rule = Annotated[AllocationRule | LineRule | UserRule, Field(discriminator="count")]


class Licence(BaseModel):
    """A licence: counted by its rule, or by hand where there is none.

    ``core``: a core user licence, from which software assurance and move to the cloud are counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: LicenceId
    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PRINTABLE)]
    family: Family = "other"
    order: int = Field(default=0, ge=0, le=1_000_000)
    core: bool = False
    rule: Rule | None = None


class LicenceDocument(BaseModel):
    """All licences there are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    licences: Annotated[list[Licence], Field(max_length=MAX_LICENCES)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        ids = [one.id for one in self.licences]
        for one in ids:
            if ids.count(one) > 1:
                raise ValueError(f"licences: there are two of the id {one!r}")
        return self


class BillingSettings(BaseModel):
    """How the provider bills."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    licence_model: Literal["perpetual", "subscription"] = "subscription"
    counts: CountedBy = "used"
    billing_mode: BillingMode = "OPEX"
    assurance: bool = Field(default=False, description="count premium software assurance from the core user licences")
    move_to_cloud: bool = Field(default=False, description="count move to cloud from the core user licences")


@dataclass(frozen=True, slots=True)
class Noted:
    """Who noted something, when, and why."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ManualCount:
    """A count that was entered by hand; it is valid from a date on, until a later one is."""

    licence: str
    valid_from: date
    count: int
    noted: Noted


@dataclass(frozen=True, slots=True)
class NotedSettings:
    """Settings that are valid from a date on. ``noted`` is None for those that hold while nobody has said anything."""

    settings: BillingSettings
    valid_from: date | None
    noted: Noted | None


def check_date(valid_from: date, today: date, first: date | None) -> None:
    """See that nothing that was valid in the past would be something else. ``first`` is what was valid the earliest.

    Raises:
        RefusedLicenceError: it would.
    """
    if valid_from < today and first is not None and first <= valid_from:
        raise RefusedLicenceError(
            f"valid_from: on {valid_from} something was valid already, and the past keeps it; the first date that can "
            f"be said something else of is {today}"
        )
