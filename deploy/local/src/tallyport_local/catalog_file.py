"""Reading the catalogue's YAML file: every error names the file, the line and the field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from tallyport.contracts.catalog import CatalogDocument, Override, Service
from tallyport.contracts.units import CounterQuantity
from tallyport.money import NotANumberError, parse_decimal

from tallyport_local.errors import InvalidInputError

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_ERRORS_SHOWN: Final = 50

Place = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Mistake:
    """Something wrong in the file: the line (from 1), the field as a path, and what is wrong with it."""

    line: int
    field: str
    message: str


class CatalogFileError(InvalidInputError):
    """The file is not a catalogue; the message has a line for every mistake."""

    def __init__(self, file: Path, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = sorted(set(mistakes))
        lines = [f"{file}:{m.line}: {m.field}: {m.message}" for m in self.mistakes[:MAX_ERRORS_SHOWN]]
        hidden = len(self.mistakes) - len(lines)
        super().__init__("\n".join([*lines, f"and {hidden} more"] if hidden else lines))


def _path(place: Place) -> str:
    """``services[0].plans[1].currency``; the document itself is ``catalogue``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".") or "catalogue"


class _Lines:
    """Finds the line of a field in the YAML's node tree."""

    def __init__(self, root: yaml.Node | None) -> None:
        self._root = root

    def mistake(self, place: Place, message: str) -> Mistake:
        """At the deepest node of ``place`` that exists: a missing field is reported where it should have been.

        Steps that are no fields (pydantic names the branches of a union) are left out.
        """
        node, line, known = self._root, 1, []
        if node is not None:
            line = node.start_mark.line + 1
        for index, step in enumerate(place):
            found = self._child(node, step)
            if found is None:
                if index == len(place) - 1 and isinstance(node, yaml.MappingNode):
                    known.append(step)
                continue
            line, node = found
            known.append(step)
        return Mistake(line, _path(tuple(known)), message)

    @staticmethod
    def _child(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    return key.start_mark.line + 1, value
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            item = node.value[step]
            return item.start_mark.line + 1, item
        return None


def _duplicate_keys(node: yaml.Node | None) -> Iterator[Mistake]:
    """YAML lets the last of two equal keys win without a word; a price that is silently another is a mistake."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield Mistake(key.start_mark.line + 1, str(key.value), "is given twice")
            seen.add(key.value)
            yield from _duplicate_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _duplicate_keys(item)


def read_catalog(file: Path) -> CatalogDocument:
    """The catalogue in ``file``, valid in itself.

    Raises:
        CatalogFileError: with every mistake found.
        InvalidInputError: when the file cannot be read at all.
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInputError(f"{file}: larger than {MAX_FILE_BYTES} bytes")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file}: not UTF-8: {error}") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise CatalogFileError(file, [Mistake(line, "YAML", error.problem or "cannot be read")]) from error
    except yaml.YAMLError as error:
        raise CatalogFileError(file, [Mistake(1, "YAML", " ".join(str(error).split()))]) from error
    lines = _Lines(root)
    mistakes = list(_duplicate_keys(root))
    document = None
    try:
        document = CatalogDocument.model_validate(data)
    except ValidationError as error:
        mistakes += [lines.mistake(_without_tags(one["loc"]), _message(dict(one))) for one in error.errors()]
    if document is not None:
        mistakes += [lines.mistake(place, message) for place, message in contradictions(document)]
    if mistakes or document is None:
        raise CatalogFileError(file, mistakes)
    return document


def _without_tags(place: Place) -> Place:
    """``place`` without the name of the price model, which pydantic puts behind the field that it chose it for."""
    return tuple(step for before, step in zip(("", *place), place, strict=False) if before != "price_model")


def _message(error: dict[str, Any]) -> str:
    """Pydantic's words, with the remedy for the mistake that YAML invites most."""
    message = str(error["msg"]).removeprefix("Value error, ")
    value = error.get("input")
    if error["type"] == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f'write it in quotes, "{value}": numbers travel as text, so that no digit is lost'
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    return message


def contradictions(document: CatalogDocument) -> Iterator[tuple[Place, str]]:
    """What is well-formed but does not fit together: the place and what is wrong."""
    yield from _duplicates([(("services", i, "id"), s.id) for i, s in enumerate(document.services)], "service")
    plans = [
        (("services", i, "plans", j, "id"), plan.id)
        for i, service in enumerate(document.services)
        for j, plan in enumerate(service.plans)
    ]
    yield from _duplicates(plans, "plan")
    known_plans = {plan_id for _place, plan_id in plans}
    rules = document.non_billable or []
    yield from _duplicates([(("non_billable", i, "id"), rule.id) for i, rule in enumerate(rules)], "rule")
    rates = document.conversion_rates or []
    yield from _duplicates([(("conversion_rates", i), rate.name) for i, rate in enumerate(rates)], "rate")
    for i, service in enumerate(document.services):
        place: Place = ("services", i)
        yield from _of_service(service, place, known_plans)


def _duplicates(named: Sequence[tuple[Place, str]], what: str) -> Iterator[tuple[Place, str]]:
    seen: set[str] = set()
    for place, name in named:
        if name in seen:
            yield place, f"there are two {what}s {name!r}"
        seen.add(name)


def _level(override: Override) -> str:
    """What an override is about: there may be one for each plan at each level."""
    if override.organisation:
        return f"{override.plan} of organisation {override.organisation}"
    return f"{override.plan} of location {override.location}"


def _of_service(service: Service, place: Place, known_plans: set[str]) -> Iterator[tuple[Place, str]]:
    names: list[tuple[str, list[tuple[Place, str]]]] = [
        ("counter", [((*place, "counters", k, "name"), one.name) for k, one in enumerate(service.counters)]),
        ("billing unit", [((*place, "billing_units", k, "id"), one.id) for k, one in enumerate(service.billing_units)]),
        ("override", [((*place, "overrides", k), _level(one)) for k, one in enumerate(service.overrides)]),
    ]
    for what, named in names:
        yield from _duplicates(named, what)
    counters = {counter.name: counter.unit for counter in service.counters}
    for k, unit in enumerate(service.billing_units):
        if isinstance(unit.quantity, CounterQuantity) and unit.quantity.counter not in counters:
            message = f"service {service.id} has no counter {unit.quantity.counter!r}"
            yield (*place, "billing_units", k, "quantity", "counter"), message
        elif isinstance(unit.quantity, CounterQuantity) and unit.convert is not None:
            measured = counters[unit.quantity.counter]
            if unit.convert.from_unit != measured:
                message = f"counter {unit.quantity.counter} measures {measured!r}, not {unit.convert.from_unit!r}"
                yield (*place, "billing_units", k, "convert", "from"), message
    own_plans = {plan.id for plan in service.plans}
    for k, override in enumerate(service.overrides):
        if override.plan not in known_plans:
            yield (*place, "overrides", k, "plan"), f"there is no plan {override.plan!r}"
        elif override.plan not in own_plans:
            yield (*place, "overrides", k, "plan"), f"plan {override.plan!r} belongs to another service"
    yield from _prices(service, place)


def _prices(service: Service, place: Place) -> Iterator[tuple[Place, str]]:
    """Every property that some unit takes as a price or a cost must be a number, on the plan and in its overrides."""
    types = {plan.id: plan.type for plan in service.plans}
    used: dict[str, set[str]] = {"customer_plan": set(), "user_plan": set()}
    for unit in service.billing_units:
        used[unit.priced_by] |= unit.number_properties
    holders = [((*place, "plans", k), plan.type, plan.properties) for k, plan in enumerate(service.plans)]
    holders += [
        ((*place, "overrides", k), types[override.plan], override.properties)
        for k, override in enumerate(service.overrides)
        if override.plan in types
    ]
    for holder, plan_type, properties in holders:
        for name in sorted(used[plan_type] & properties.keys()):
            try:
                parse_decimal(properties[name])
            except NotANumberError as error:
                yield (*holder, "properties", name), f"a billing unit takes it as a price, and {error}"
