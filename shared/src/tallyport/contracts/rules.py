"""Rules of the catalogue about lines that are counted but not charged."""

from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar, Self

from pydantic import StringConstraints, model_validator

from tallyport.contracts.base import Contract, Identifier
from tallyport.contracts.directory import ProvisioningStatus

ReasonCode = Annotated[str, StringConstraints(max_length=50, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
GlobPattern = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class NonBillableRule(Contract):
    """Lines of what matches every criterion cost nothing; a criterion that is left out matches everything.

    ``organisation`` means it and all below it; ``user`` is compared with the user's login and name, ``*`` standing
    for any characters and ``?`` for one, upper and lower case being the same. Both dates are inclusive and mean the
    usage day.
    """

    TYPE: ClassVar[str] = "tallyport.catalog.changes.v1"

    id: Identifier
    reason: ReasonCode
    organisation: Identifier | None = None
    service: Identifier | None = None
    plan: Identifier | None = None
    user: GlobPattern | None = None
    status: ProvisioningStatus | None = None
    valid_from: date | None = None
    valid_to: date | None = None

    @model_validator(mode="after")
    def _says_what_it_is_about(self) -> Self:
        if not any((self.organisation, self.service, self.plan, self.user, self.status)):
            raise ValueError("a rule without a criterion would match every line of every customer")
        if self.valid_from is not None and self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError(f"valid_to {self.valid_to} is before valid_from {self.valid_from}")
        return self
