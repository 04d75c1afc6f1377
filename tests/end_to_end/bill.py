"""A slow, obvious model of what the example provider's batch must hold; it shares no code with services."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

# Megabytes and mebibytes in bytes; a test that converts into another unit has to say here what it is.
BYTES = {"MB": 1000**2, "GB": 1000**3, "MiB": 1024**2, "GiB": 1024**3}
NOTHING = Decimal(0)

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
    """The lines of a batch. ``usage`` is what was measured on the usage day, by counter and object."""

    def __init__(
        self,
        examples: Path = EXAMPLES,
        catalog: Mapping[str, Any] | None = None,
        usage: Mapping[tuple[str, str], str] | None = None,
        day: date = date(2026, 1, 1),
    ) -> None:
        lines = (examples / "directory.jsonl").read_text(encoding="utf-8").splitlines()
        entities = [json.loads(line) for line in lines]
        self.organisations = {e["id"]: e for e in entities if e["kind"] == "organisation"}
        self.instances = {e["id"]: e for e in entities if e["kind"] == "service_instance"}
        self.subscriptions = [e for e in entities if e["kind"] == "subscription"]
        self.sites = [e for e in entities if e["kind"] == "site"]
        catalog = catalog or yaml.safe_load((examples / "catalog.yaml").read_text(encoding="utf-8"))
        self.services = {service["id"]: service for service in catalog["services"]}
        self.plans = {plan["id"]: plan for service in catalog["services"] for plan in service["plans"]}
        self.overrides = [override for service in catalog["services"] for override in service.get("overrides", [])]
        self.rules = catalog.get("non_billable") or []
        self.usage = usage or {}
        self.day = day

    def lines(self) -> dict[str, Line]:
        """By object, for a catalogue that has one unit an object."""
        return {name: line for (name, _), line in self.all_lines().items()}

    def all_lines(self) -> dict[tuple[str, str], Line]:
        """By object and unit."""
        found: dict[tuple[str, str], Line] = {}
        things = [(instance, "instance", instance) for instance in self.instances.values()]
        things += [(self.instances[one["instance"]], "user", one) for one in self.subscriptions]
        for instance, kind, thing in things:
            for unit in self.services[instance["service"]]["billing_units"]:
                if self.is_billed(instance) and unit["unit"] == kind and unit.get("active", True):
                    found[thing["id"], unit["id"]] = self.line(instance, unit, thing)
        return found

    def is_billed(self, instance: dict[str, Any]) -> bool:
        return instance.get("is_billed", True) and not instance.get("reseller_service", False)

    def line(self, instance: dict[str, Any], unit: dict[str, Any], thing: dict[str, Any]) -> Line:
        customer, plan = instance["customer"], self.plans[thing["plan"]]
        quantity, flags = self.quantity(unit, thing)
        model = unit.get("price_model", {"model": "flat"})
        currency = self.inherited("currency", customer)

        def number(said: str) -> Decimal | None:
            """A number as it stands, or the property of that name where it is one."""
            return as_number(said) if as_number(said) is not None else as_number(self.value(plan, said, customer))

        foreign = currency != plan["currency"]
        unlimited = model["model"] == "included" and as_number(model["included"]) is None
        if unlimited:
            allowance = self.value(plan, model["included"], customer)
            unlimited = allowance is not None and as_number(allowance) is None
        amount = cost_of(model, quantity, unit.get("price", "sales_price"), number, unlimited=unlimited)
        if amount is None or foreign:
            flags += ["no_price"]
        flags += ["other_currency"] * foreign + ["unlimited"] * unlimited
        reason = self.reason(instance, thing)
        if reason is not None:
            flags += ["non_billable", f"reason:{reason}"]
        if amount is None or foreign or reason is not None:
            amount = NOTHING
        elif quantity > 0:
            amount, flags = limited(amount, model, number, flags)
        price = number(unit.get("price", "sales_price")) if model["model"] == "flat" and not foreign else None
        return Line(
            customer=customer,
            unit=unit["id"],
            name=plan["name"],
            description=self.description(unit, instance, thing),
            stock_code=self.value(plan, unit.get("stock_code", "stock_code"), customer) or "",
            quantity=quantity,
            price=price,
            total=amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP),
            currency=currency,
            flags=" ".join(flags),
        )

    def quantity(self, unit: dict[str, Any], thing: dict[str, Any]) -> tuple[Decimal, list[str]]:
        by = unit.get("quantity", "status")
        if by == "status":
            return Decimal(0 if thing["status"] == "NotProvisioned" else 1), []
        measured = self.usage.get((by["counter"], thing["id"]))
        if measured is None:
            return NOTHING, ["no_data"]
        convert = unit.get("convert")
        scale = Decimal(BYTES[convert["from"]]) / Decimal(BYTES[convert["to"]]) if convert else Decimal(1)
        return Decimal(measured) * scale, []

    def description(self, unit: dict[str, Any], instance: dict[str, Any], thing: dict[str, Any]) -> str:
        customer, plan = instance["customer"], self.plans[thing["plan"]]
        user = thing["user"]["name"] if "user" in thing else ""
        sites = [site["name"] for site in self.sites if site["customer"] == customer]
        usual = "{user_name}" if "user" in thing else "{customer_name}"
        return (unit.get("description") or usual).format(
            user_name=user,
            customer_name=self.organisations[customer]["name"],
            site_name=sites[0] if len(sites) == 1 else "",
            service_name=self.services[instance["service"]]["name"],
            plan_name=plan["name"],
            stock_code=self.value(plan, unit.get("stock_code", "stock_code"), customer) or "",
        )

    def reason(self, instance: dict[str, Any], thing: dict[str, Any]) -> str | None:
        """Of the first rule that matches."""
        user = thing.get("user", {})
        for rule in self.rules:
            wrong = [
                "organisation" in rule and rule["organisation"] not in self.chain(instance["customer"]),
                "service" in rule and rule["service"] != instance["service"],
                "plan" in rule and rule["plan"] != thing["plan"],
                "status" in rule and rule["status"] != thing["status"],
                "valid_from" in rule and date.fromisoformat(str(rule["valid_from"])) > self.day,
                "valid_to" in rule and date.fromisoformat(str(rule["valid_to"])) < self.day,
                "user" in rule and not any(fnmatchcase(said.lower(), rule["user"].lower()) for said in user.values()),
            ]
            if not any(wrong):
                return str(rule["reason"])
        return None

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


def as_number(text: str | None) -> Decimal | None:
    try:
        return Decimal(text) if text is not None else None
    except ArithmeticError:
        return None


def cost_of(model: dict[str, Any], quantity: Decimal, price: str, number: Any, *, unlimited: bool) -> Decimal | None:
    """What the quantity costs before limits; None where a number is missing."""
    each = number(price)
    needed = [each] if model["model"] not in {"graduated", "volume"} else []
    needed += [number(tier["price"]) for tier in model.get("tiers", [])]
    needed += [number(model[name]) for name in ("minimum", "maximum", "size") if model.get(name)]
    needed += [number(model["included"])] if model["model"] == "included" and not unlimited else []
    if None in needed:
        return None
    if model["model"] == "flat":
        return quantity * each
    if model["model"] == "included":
        above = NOTHING if unlimited else quantity - number(model["included"])
        return above * each if above > 0 else NOTHING
    if model["model"] == "package":
        packages = 0
        while packages * number(model["size"]) < quantity:
            packages += 1
        return packages * each
    amount, below = NOTHING, NOTHING
    for tier in model["tiers"]:
        end = Decimal(tier.get("up_to_inclusive") or "Infinity")
        if model["model"] == "volume" and below < quantity <= end:
            return quantity * number(tier["price"])
        if model["model"] == "graduated" and quantity > below:
            amount += (min(quantity, end) - below) * number(tier["price"])
        below = end
    return amount


def limited(amount: Decimal, model: dict[str, Any], number: Any, flags: list[str]) -> tuple[Decimal, list[str]]:
    if model.get("minimum") and amount < number(model["minimum"]):
        return number(model["minimum"]), [*flags, "minimum"]
    if model.get("maximum") and amount > number(model["maximum"]):
        return number(model["maximum"]), [*flags, "maximum"]
    return amount, flags
