"""Allocation and usage: what every customer and reseller was given of each bundle, and how much of it is used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from report_builder.documents.model import EXACT, Column, DocumentError, Table
from report_builder.licences.counting import FAMILIES
from report_builder.reports.kinds.source import Content, Source, key_of, line_sums
from report_builder.warehouse import counting
from report_builder.warehouse.counting import Bundle, Node

if TYPE_CHECKING:
    from report_builder.documents.element_writer import ElementWriter, Value

BUNDLES: Final = Table(
    name="bundles",
    columns=(
        Column("service"),
        Column("plan"),
        Column("name", optional=True),
        Column("allocated", "quantity", optional=True),
        Column("used", "quantity", optional=True),
        Column("count", "quantity", optional=True),
    ),
    element="Bundle",
)
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)")
_PROVIDER: Final = "service_provider"


async def compose(source: Source) -> Content:
    """A snapshot of the last batch of the period that knows the organisation.

    Raises:
        DocumentError: the organisation is a customer.
    """
    if source.organisation_type == "customer":
        raise DocumentError(
            f"organisation {source.wanted.organisation!r} is a customer; an allocation-and-usage is about the provider "
            "or a reseller. A customer's bundles are at /v1/customers/{customer}/bundles"
        )
    for batch in reversed(source.batches):
        nodes = await counting.nodes(source.connection, key_of(batch), source.wanted.organisation)
        if nodes:
            break
    else:
        raise DocumentError("none of the batches has an organisation; ask for other dates")
    bundles = await counting.bundles(source.connection, key_of(batch), [one.id for one in nodes])
    facts, _ = await line_sums(source, [batch])
    snapshot = _Snapshot(source, nodes, bundles)

    async def tree(writer: ElementWriter) -> None:
        snapshot.write(writer)

    rows = sum(map(len, bundles.values())) if bundles else 0
    return Content(table=BUNDLES, rows=rows, totals=(), batches=facts, sections=(), tree=tree)


class _Snapshot:
    """The elements of one snapshot. What the batch says nothing of is left out."""

    def __init__(self, source: Source, nodes: list[Node], bundles: dict[str, list[Bundle]] | None) -> None:
        self._terms = source.terms
        self._everything = source.organisation_type in (None, _PROVIDER)
        self._bundles = bundles
        # With everybody there may be several roots; the provider is the one to name then.
        self._top = next((one for one in nodes if one.parent is None and one.type == _PROVIDER), nodes[0])
        self._resellers = [one for one in nodes if one.type != "customer" and one is not self._top]
        self._customers: dict[str, list[Node]] = {}
        for one in nodes:
            if one.type == "customer":
                self._customers.setdefault(one.parent or self._top.id, []).append(one)

    def write(self, writer: ElementWriter) -> None:
        """The whole document."""
        day = writer.document.batches[-1].batch_date
        said = dict(writer.document.completeness)
        writer.root("Billing", {})
        writer.begin(
            "ServiceProviderSnapshot",
            {
                "billingMode": self._terms["billing_mode"],
                "counts": self._terms["counts"],
                "id": self._top.id,
                "name": self._top.name,
                "time": day,
                # Every inventory had been read by then; a reseller is only told how many there are.
                "synctime": min(_MOMENT.findall(said.get(f"{day}.inventories", "")), default=None),
            },
        )
        writer.facts()
        self._details(writer)
        self._own_bundles(writer, self._top)
        self._customer_list(writer, self._top)
        for one in self._resellers:
            writer.begin("ResellerSnapshot", {"type": one.type, "parent": one.parent, **_who(one)})
            self._own_bundles(writer, one)
            self._customer_list(writer, one)
            writer.end()
        if self._everything:
            self._licences(writer, day.isoformat())

    def _details(self, writer: ElementWriter) -> None:
        if self._bundles is None:
            return
        writer.begin("BundleDetailsList", {})
        found: dict[tuple[str, str], list[Bundle]] = {}
        for of_one in self._bundles.values():
            for one in of_one:
                found.setdefault((one.service, one.plan), []).append(one)
        for (service, plan), those in sorted(found.items()):
            allocated = _sum(one.allocated for one in those)
            used = _sum(one.used for one in those)
            name = next((one.name for one in those if one.name), None)
            writer.add("BundleDetails", self._bundle(Bundle(service, plan, name, allocated, used)))
        writer.end()

    def _customer_list(self, writer: ElementWriter, reseller: Node) -> None:
        writer.begin("CustomerSnapshotList", {})
        for one in self._customers.get(reseller.id, ()):
            writer.begin("CustomerSnapshot", {**_who(one), "users": one.users})
            self._own_bundles(writer, one)
            writer.end()
        writer.end()

    def _own_bundles(self, writer: ElementWriter, one: Node) -> None:
        for bundle in (self._bundles or {}).get(one.id, ()):
            writer.add("Bundle", self._bundle(bundle), row=True)

    def _bundle(self, one: Bundle) -> dict[str, Value]:
        return {
            "service": one.service,
            "plan": one.plan,
            "name": one.name,
            "allocated": one.allocated,
            "used": one.used,
            "count": one.used if self._terms["counts"] == "used" else one.allocated,
        }

    def _licences(self, writer: ElementWriter, day: str) -> None:
        writer.begin("ServiceProviderLicenseDetails", {})
        licences: list[dict[str, Any]] = sorted(self._terms["licences"], key=lambda one: FAMILIES.index(one["family"]))
        for one in licences:
            if one["rule"] is None:
                valid = [entry for entry in self._terms["manual"].get(one["id"], []) if entry[0] <= day]
                since, count = valid[-1] if valid else (None, None)
                writer.add(
                    "License",
                    {"id": one["id"], "name": one["name"], "family": one["family"], "count": count, "validFrom": since},
                )
        writer.end()


def _who(one: Node) -> dict[str, Value]:
    return {
        "id": one.id,
        "name": one.name,
        "billingId": one.billing_id,
        "location": one.location,
        "language": one.language,
        "currency": one.currency,
    }


def _sum(counts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum, if all of it is known."""
    total = Decimal(0)
    for one in counts:
        if one is None:
            return None
        total = EXACT.add(total, one)
    return total
