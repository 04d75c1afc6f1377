"""Price inheritance: of all the values said for a plan property, the most specific one counts.

The order is: the customer, the organisations above it from the nearest to the provider, the customer's location, the
plan itself. The billing engine applies the same rule in SQL; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tallyport.money import NotANumberError, parse_decimal


@dataclass(frozen=True, slots=True)
class Effective:
    """A property's value and the level it came from: ``organisation:<id>``, ``location:<id>`` or ``plan``.

    ``currency`` is that of an amount; None where nobody has said.
    """

    value: str
    source: str
    currency: str | None = None

    def as_number(self) -> Decimal | None:
        """The value as an exact number; None where it is not one, which bills as "no price"."""
        try:
            return parse_decimal(self.value)
        except NotANumberError:
            return None


@dataclass(frozen=True, slots=True)
class PlanValues:
    """Everything said about one plan's properties: its own values and those of each overriding level.

    ``currency`` is the plan's; ``currencies`` are those of the levels that say another, by their source.
    """

    own: Mapping[str, str]
    organisations: Mapping[str, Mapping[str, str]]
    locations: Mapping[str, Mapping[str, str]]
    currency: str | None = None
    currencies: Mapping[str, str] = field(default_factory=dict)

    def said(self, value: str, source: str) -> Effective:
        """A value with where it comes from and the currency of that level."""
        return Effective(value, source, self.currencies.get(source, self.currency))


def effective(name: str, plan: PlanValues, chain: Sequence[str], location: str | None) -> Effective | None:
    """The value of property ``name`` for a customer; None where nobody says one.

    ``chain`` is the customer's id and the ids of the organisations above it, nearest first; ``location`` is the
    customer's. What an organisation on the way pays is said by the chain that begins with it, at the same location:
    goods are priced by the place they are delivered to, at every level.
    """
    for organisation in chain:
        said = plan.organisations.get(organisation, {})
        if name in said:
            return plan.said(said[name], f"organisation:{organisation}")
    if location is not None and name in plan.locations.get(location, {}):
        return plan.said(plan.locations[location][name], f"location:{location}")
    if name in plan.own:
        return plan.said(plan.own[name], "plan")
    return None
