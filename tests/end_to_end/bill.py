"""A slow, obvious model of what the example provider's batch by status must hold; it shares no code with services."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "provider"


@dataclass(frozen=True)
class Line:
    customer: str
    unit: str
    name: str
    description: str
    stock_code: str
    quantity: Decimal
    price: Decimal | None
    total: Decimal
    currency: str
    flags: str


class Bill:
    """The lines of a batch of a day before anything was collected, by object id."""

    def __init__(self, examples: Path = EXAMPLES) -> None:
        lines = (examples / "directory.jsonl").read_text(encoding="utf-8").splitlines()
        entities = [json.loads(line) for line in lines]
        self.organisations = {e["id"]: e for e in entities if e["kind"] == "organisation"}
        self.instances = {e["id"]: e for e in entities if e["kind"] == "service_instance"}
        self.subscriptions = [e for e in entities if e["kind"] == "subscription"]
        catalog = yaml.safe_load((examples / "catalog.yaml").read_text(encoding="utf-8"))
        self.plans = {plan["id"]: plan for service in catalog["services"] for plan in service["plans"]}
        self.overrides = [override for service in catalog["services"] for override in service.get("overrides", [])]
        self.units = {(s["id"], unit["unit"]): unit for s in catalog["services"] for unit in s["billing_units"]}

    def lines(self) -> dict[str, Line]:
        found: dict[str, Line] = {}
        for instance in self.instances.values():
            if self.is_billed(instance):
                name = self.organisations[instance["customer"]]["name"]
                self.add(found, instance, "instance", instance, name)
        for subscription in self.subscriptions:
            instance = self.instances[subscription["instance"]]
            if self.is_billed(instance):
                self.add(found, instance, "user", subscription, subscription["user"]["name"])
        return found

    def is_billed(self, instance: dict[str, Any]) -> bool:
        return instance.get("is_billed", True) and not instance.get("reseller_service", False)

    def add(
        self, found: dict[str, Line], instance: dict[str, Any], kind: str, thing: dict[str, Any], description: str
    ) -> None:
        unit = self.units.get((instance["service"], kind))
        if unit is None:
            return
        customer, plan = instance["customer"], self.plans[thing["plan"]]
        # By counter, and nothing was measured on the usage day of this batch: zero, and said so.
        measured = unit["quantity"] == "status"
        quantity = Decimal(1) if measured and thing["status"] != "NotProvisioned" else Decimal(0)
        said = self.value(plan, unit["price"], customer)
        price = None if said is None else Decimal(said)
        exact = Decimal(0) if price is None else quantity * price
        found[thing["id"]] = Line(
            customer=customer,
            unit=unit["id"],
            name=plan["name"],
            description=description,
            stock_code=self.value(plan, unit["stock_code"], customer) or "",
            quantity=quantity,
            price=price,
            total=exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP),
            currency=self.inherited("currency", customer),
            flags="no_price" if price is None else "" if measured else "no_data",
        )

    def chain(self, organisation: str) -> list[str]:
        """The organisation and those above it, nearest first."""
        found = [organisation]
        while "parent" in self.organisations[found[-1]]:
            found.append(self.organisations[found[-1]]["parent"])
        return found

    def inherited(self, what: str, organisation: str) -> str:
        said = [self.organisations[one].get(what) for one in self.chain(organisation)]
        return next(value for value in said if value)

    def value(self, plan: dict[str, Any], name: str, customer: str) -> str | None:
        for level, wanted in [
            *(("organisation", one) for one in self.chain(customer)),
            ("location", self.inherited("location", customer)),
        ]:
            for override in self.overrides:
                if override["plan"] == plan["id"] and override.get(level) == wanted and name in override["properties"]:
                    return str(override["properties"][name])
        own = plan["properties"].get(name)
        return None if own is None else str(own)
