"""Licences counted from frozen batches, by the terms that were fixed for a report.

A rendering process reads this: it takes the terms as the plain JSON they are kept as, and no contracts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Literal

from report_builder.warehouse import counting
from report_builder.warehouse.model import BatchKey

Source = Literal["calculated", "manual", "derived"]
FAMILIES: Final = ("telephony", "contact_centre", "premium_software_assurance", "move_to_cloud", "other")
_DERIVED: Final = {"premium_software_assurance": "assurance", "move_to_cloud": "move_to_cloud"}
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Counted:
    """A licence and its counts, one for each batch; None is "no data".

    ``derived``: counted from the core user licence of the same id, in another family.
    """

    id: str
    name: str
    family: str
    core: bool
    source: Source
    counts: tuple[Decimal | None, ...]

    @property
    def last(self) -> Decimal | None:
        """That of the last batch."""
        return self.counts[-1] if self.counts else None

    @property
    def peak(self) -> Decimal | None:
        """The largest of those that are known."""
        return max(self._known, default=None)

    @property
    def average(self) -> Decimal | None:
        """The mean of those that are known, to the second decimal, half away from zero."""
        known = self._known
        return (sum(known, Decimal(0)) / len(known)).quantize(_CENT, ROUND_HALF_UP) if known else None

    @property
    def _known(self) -> list[Decimal]:
        return [one for one in self.counts if one is not None]


async def counted(connection: Any, terms: Mapping[str, Any], batches: Sequence[BatchKey]) -> list[Counted]:
    """Every licence, family after family; software assurance and move to the cloud only if they are switched on."""
    found: list[Counted] = []
    for one in terms["licences"]:
        if one["rule"] is None:
            source: Source = "manual"
            entered = terms["manual"].get(one["id"], [])
            counts = tuple(_valid(entered, day) for day, _ in batches)
        else:
            source = "calculated"
            counts = await calculated(connection, one["rule"], batches, counts=terms["counts"])
        found.append(Counted(one["id"], one["name"], one["family"], one["core"], source, counts))
    shown: list[Counted] = []
    for family in FAMILIES:
        switch = _DERIVED.get(family)
        if switch is not None and not terms[switch]:
            continue
        shown += [one for one in found if one.family == family]
        if switch is not None:
            shown += [
                Counted(one.id, one.name, family, core=False, source="derived", counts=one.counts)
                for one in found
                if one.core
            ]
    return shown


async def calculated(
    connection: Any, rule: Mapping[str, Any], batches: Sequence[BatchKey], *, counts: str
) -> tuple[Decimal | None, ...]:
    """What a rule counts in each of some batches; ``counts`` is for a rule that leaves open what of allocations."""
    pattern = like(rule["plans"])
    by_day: Mapping[date, Decimal | None]
    if rule["count"] == "allocations":
        by_day = await counting.allocations(
            connection, batches, rule["service"], pattern, used=(rule["of"] or counts) == "used"
        )
    else:
        by_day = await counting.lines(
            connection,
            batches,
            rule["service"],
            pattern,
            unit=rule["unit"],
            statuses=rule["status"],
            users=rule["count"] == "users",
        )
    return tuple(by_day.get(day) for day, _ in batches)


def like(pattern: str) -> str:
    """A pattern with * and ? as LIKE has it."""
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, "\\" + special)
    return pattern.replace("*", "%").replace("?", "_")


def _valid(entered: Sequence[Sequence[Any]], day: date) -> Decimal | None:
    """The last of those that are valid on a day; they come in that order."""
    valid = [count for since, count in entered if date.fromisoformat(since) <= day]
    return Decimal(valid[-1]) if valid else None
