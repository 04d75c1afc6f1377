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
    source: str | None
    level_prices: str | None
    level_totals: str
    cost: Decimal | None


def read_line(line: Mapping[str, Any]) -> Line:
    """A line as it travels."""
    return Line(
        customer=line["customer_id"],
        unit=line["unit"],
        name=line["name"],
        description=line["description"],
        stock_code=line["stock_code"],
        quantity=Decimal(line["quantity"]),
        price=Decimal(line["sales_price"]) if line["sales_price"] is not None else None,
        total=Decimal(line["total"]),
        currency=line["currency"],
        flags=line["flags"],
        source=line["price_source"],
        level_prices=line["level_prices"],
        level_totals=line["level_totals"],
        cost=Decimal(line["cost_total"]) if line["cost_total"] is not None else None,
    )


@dataclass(frozen=True)
class Paid:
    """What one organisation pays for a line: the price of one, and all of it; None where there is no price."""

    price: Decimal | None
    amount: Decimal | None
    flags: list[str]
    source: str | None


class Bill:
    """The lines of a batch. ``usage`` is what was measured on the usage day, by counter and object."""

    def __init__(
        self,
        examples: Path = EXAMPLES,
        catalog: Mapping[str, Any] | None = None,
        usage: Mapping[tuple[str, str], str] | None = None,
        day: date = date(2026, 1, 1),
        entities: list[dict[str, Any]] | None = None,
    ) -> None:
        if entities is None:
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
        self.rates = catalog.get("conversion_rates") or []
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
        currency = self.inherited("currency", customer) or plan["currency"]
        paid = self.paid(customer, customer, unit, plan, quantity)
        between = [self.paid(one, customer, unit, plan, quantity) for one in reversed(self.chain(customer)[1:-1])]
        flags += ["no_price"] * (paid.amount is None)
        flags += ["no_level_price"] * (paid.amount is not None and None in [one.amount for one in between])
        reason = self.reason(instance, thing)
        limits = {"minimum", "maximum"}
        flags += [flag for flag in paid.flags if reason is None or flag not in limits]
        charged = [one.amount for one in between]
        if reason is not None:
            flags += ["non_billable", f"reason:{reason}"]
            charged = [NOTHING for _ in between]
        cost, _ = self.money(plan, unit.get("cost", "cost_price"), customer, customer, currency)
        plain_price = unit.get("price_model", {"model": "flat"})["model"] == "flat"
        return Line(
            customer=customer,
            unit=unit["id"],
            name=plan["name"],
            description=self.description(unit, instance, thing),
            stock_code=self.value(plan, unit.get("stock_code", "stock_code"), customer, customer) or "",
            quantity=quantity,
            price=paid.price,
            total=rounded(NOTHING if reason is not None or paid.amount is None else paid.amount, currency),
            currency=currency,
            flags=" ".join(flags),
            source=paid.source,
            level_prices=" ".join(written(one.price) for one in between) if plain_price else None,
            level_totals=" ".join("-" if one is None else str(rounded(one, currency)) for one in charged),
            cost=None if cost is None else rounded(quantity * cost, currency),
        )

    def paid(self, payer: str, customer: str, unit: dict[str, Any], plan: dict[str, Any], quantity: Decimal) -> Paid:
        """What ``payer``, the customer or an organisation above it, pays for this quantity."""
        model = unit.get("price_model", {"model": "flat"})
        currency = self.inherited("currency", customer) or plan["currency"]
        sources: set[str] = set()
        notes: set[str] = set()
        foreign: list[str] = []

        def number(said: str, *, is_money: bool = True) -> Decimal | None:
            """A number as it stands, or the property of that name where it is one."""
            text, where, money = said, "unit", plan["currency"]
            if as_number(said) is None:
                found = self.said(plan, said, payer, customer)
                if found is None:
                    return None
                text, where, money = found
            sources.add(where)
            amount = as_number(text)
            if amount is None or not is_money or money == currency:
                return amount
            rate = self.rate(money, currency)
            if rate is None:
                foreign.append(said)
                return None
            notes.add(f"converted:{money}>{currency}:{rate['rate']}:{rate['valid_from']}")
            return amount * Decimal(rate["rate"])

        unlimited = model["model"] == "included" and as_number(model["included"]) is None
        if unlimited:
            allowance = self.value(plan, model["included"], payer, customer)
            unlimited = allowance is not None and as_number(allowance) is None
            sources |= {self.said(plan, model["included"], payer, customer)[1]} if unlimited else set()
        amount = cost_of(model, quantity, unit.get("price", "sales_price"), number, unlimited=unlimited)
        flags = ["other_currency"] * bool(foreign) + ["unlimited"] * unlimited
        if amount is not None and quantity > 0:
            amount, flags = limited(amount, model, number, flags)
        source = ":".join([model["model"], ",".join(sorted(sources))]) if sources else model["model"]
        price = None
        if model["model"] == "flat":
            sources, notes = set(), set()
            price = number(unit.get("price", "sales_price"))
            source = next(iter(sources), None)
        return Paid(price, amount, flags, None if source is None else " ".join([source, *sorted(notes)]))

    def rate(self, currency: str, to: str) -> dict[str, Any] | None:
        """The newest that is valid on the day."""
        valid = [
            one
            for one in self.rates
            if (one["from"], one["to"]) == (currency, to) and date.fromisoformat(str(one["valid_from"])) <= self.day
        ]
        return max(valid, key=lambda one: str(one["valid_from"]), default=None)

    def money(
        self, plan: dict[str, Any], name: str, payer: str, customer: str, currency: str
    ) -> tuple[Decimal | None, str]:
        """An amount in ``currency``, and where it was said."""
        found = self.said(plan, name, payer, customer)
        if found is None:
            return None, ""
        text, where, money = found
        amount, rate = as_number(text), self.rate(money, currency)
        if amount is None or money == currency:
            return amount, where
        return (amount * Decimal(rate["rate"]) if rate is not None else None), where

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
            stock_code=self.value(plan, unit.get("stock_code", "stock_code"), customer, customer) or "",
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

    def inherited(self, what: str, organisation: str) -> str | None:
        said = [self.organisations[one].get(what) for one in self.chain(organisation)]
        return next((value for value in said if value), None)

    def value(self, plan: dict[str, Any], name: str, payer: str, customer: str) -> str | None:
        found = self.said(plan, name, payer, customer)
        return None if found is None else found[0]

    def said(self, plan: dict[str, Any], name: str, payer: str, customer: str) -> tuple[str, str, str] | None:
        """The value that counts for ``payer`` at the customer's location, the level that says it, and its currency."""
        for level, wanted in [
            *(("organisation", one) for one in self.chain(payer)),
            ("location", self.inherited("location", customer)),
        ]:
            for override in self.overrides:
                here = wanted and override["plan"] == plan["id"] and override.get(level) == wanted
                if here and name in override["properties"]:
                    value = str(override["properties"][name])
                    return value, f"{level}:{wanted}", override.get("currency") or plan["currency"]
        own = plan["properties"].get(name)
        return None if own is None else (str(own), "plan", plan["currency"])


def rounded(amount: Decimal, currency: str) -> Decimal:
    """To the currency's minor unit; yen have none."""
    # Adding nothing takes the sign from a zero.
    return amount.quantize(Decimal(1) if currency == "JPY" else Decimal("0.01"), rounding=ROUND_HALF_UP) + NOTHING


def written(price: Decimal | None) -> str:
    return "-" if price is None else format(price, "f")


def as_number(text: str | None) -> Decimal | None:
    try:
        return Decimal(text) if text is not None else None
    except ArithmeticError:
        return None


def cost_of(model: dict[str, Any], quantity: Decimal, price: str, number: Any, *, unlimited: bool) -> Decimal | None:
    """What the quantity costs before limits; None where a number is missing."""
    each = number(price) if model["model"] not in {"graduated", "volume"} else NOTHING
    needed = [each]
    needed += [number(tier["price"]) for tier in model.get("tiers", [])]
    needed += [number(model[name]) for name in ("minimum", "maximum") if model.get(name)]
    needed += [number(model["size"], is_money=False)] if model["model"] == "package" else []
    needed += [number(model["included"], is_money=False)] if model["model"] == "included" and not unlimited else []
    if None in needed or (model["model"] == "package" and number(model["size"], is_money=False) <= 0):
        return None
    if model["model"] == "flat":
        # A minimum or maximum leaves no credit.
        return quantity * each if quantity > 0 or model.keys() == {"model"} else NOTHING
    if model["model"] == "included":
        above = NOTHING if unlimited else quantity - number(model["included"], is_money=False)
        return above * each if above > 0 else NOTHING
    if model["model"] == "package":
        whole, started = divmod(max(quantity, NOTHING), number(model["size"], is_money=False))
        return (whole + (1 if started else 0)) * each
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
    low, high = (number(model[name]) if model.get(name) else None for name in ("minimum", "maximum"))
    if high is not None and amount > high and (low is None or low <= high):
        return high, [*flags, "maximum"]
    if low is not None and (amount < low or (high is not None and amount > high)):
        return low, [*flags, "minimum"]
    return amount, flags
