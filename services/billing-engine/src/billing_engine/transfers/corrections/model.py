"""The difference that late usage makes to a frozen line; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from typing import Final, NamedTuple

from tallyport.contracts.billing import LINE_COLUMNS
from tallyport.money import plain

LATE_FLAG: Final = "late_usage"
_EXACT: Final = Context(prec=400, traps=[Inexact, InvalidOperation])

Key = tuple[str, str, str, str]
"""Customer, service, unit and object: what a batch has one ordinary line of."""


class Line(NamedTuple):
    """A line as it travels; every value as text. One from before there were levels has none of the last three."""

    customer_id: str
    service: str
    plan_type: str
    unit: str
    object_id: str
    plan: str | None
    kind: str
    corrects: str | None
    description: str | None
    name: str | None
    stock_code: str | None
    unit_code: str | None
    quantity: str
    sales_price: str | None
    cost_price: str | None
    total: str
    currency: str
    flags: str
    quantity_source: str | None
    price_source: str | None
    level_prices: str | None = None
    level_totals: str | None = None
    cost_total: str | None = None

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.customer_id, self.service, self.unit, self.object_id

    def as_json(self) -> str:
        """As it stands in a frozen chunk."""
        return json.dumps(self, ensure_ascii=False, separators=(",", ":"))


assert Line._fields == LINE_COLUMNS  # noqa: S101 - the same columns in the same order


def read_lines(rows: str | bytes) -> list[Line]:
    """The lines of a frozen chunk, from its bytes between the brackets."""
    text = rows.decode() if isinstance(rows, bytes) else rows
    return [Line(*row) for row in json.loads(f"[{text}]")]


@dataclass(frozen=True, slots=True)
class Views:
    """What came of running a batch's views again.

    ``compared`` are the sources whose lines can be compared, ``failed`` the services that have a view which failed.
    """

    compared: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Marks:
    """What came late: by object, the counters; and the customer and service of each object that there was then."""

    counters: Mapping[str, AbstractSet[str]]
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """What came of some marks: correction lines, and how many marks no line was made of.

    ``unlike`` are frozen lines that do not bear the price they are computed with now: nothing is billed by guesswork.
    """

    lines: list[Line] = field(default_factory=list)
    without_line: int = 0
    unlike: int = 0


def corrections(
    corrects: date,
    usage_day: date,
    marks: Marks,
    *,
    frozen: Iterable[Line],
    billed: Iterable[Line],
    computed: Iterable[Line],
    views: Views,
) -> Found:
    """What has to be billed besides what was ``frozen`` and ``billed``, for it all to be what is ``computed``.

    Lines that are measured are looked at where something came late for them. Nobody knows which samples a view has
    read, so all its lines are, also those that it gives only now, or does not give any more.
    """
    found = Found()
    earlier: dict[Key, list[Line]] = {line.key: [line] for line in frozen if line.kind == "line"}
    for line in billed:
        earlier.setdefault(line.key, []).append(line)
    lines = list(computed)
    given = {line.key for line in lines}
    lines += [_nothing(said[0]) for key, said in earlier.items() if key not in given and _viewed(said[0], views)]
    seen: set[tuple[str, str]] = set()
    viewed: set[tuple[str, str]] = set()
    for now in lines:
        before = earlier.get(now.key, [])
        if _viewed(now, views):
            viewed.add((now.customer_id, now.service))
        else:
            counter = _measured_by(now, marks.counters.get(now.object_id, frozenset()), usage_day)
            if counter is None or not before:
                continue
            seen.add((now.object_id, counter))
        if before and _rate(before[0]) != _rate(now):
            found.unlike += 1
        elif (correction := difference(before, now, corrects)) is not None:
            found.lines.append(correction)
    found.lines.sort(key=lambda line: line.customer_id)
    found.without_line = _without_line(marks, seen, viewed, views)
    return found


def _without_line(
    marks: Marks, seen: AbstractSet[tuple[str, str]], viewed: AbstractSet[tuple[str, str]], views: Views
) -> int:
    """How many marks no line was compared for. One in a service whose view failed may be missing from the view's."""
    count = 0
    for object_id, counters in marks.counters.items():
        place = marks.places.get(object_id)
        if place is not None and place[1] in views.failed:
            count += len(counters)
        elif place not in viewed:
            count += sum((object_id, counter) not in seen for counter in counters)
    return count


def _viewed(line: Line, views: Views) -> bool:
    return line.quantity_source in views.compared


def _nothing(line: Line) -> Line:
    """The line, as if there were no quantity."""
    levels = (
        None if line.level_totals is None else " ".join("-" if one == "-" else "0" for one in line.level_totals.split())
    )
    cost = None if line.cost_total is None else "0"
    return line._replace(quantity="0", total="0", level_totals=levels, cost_total=cost)


def _measured_by(line: Line, counters: AbstractSet[str], usage_day: date) -> str | None:
    """Which of ``counters`` the line's quantity comes from."""
    source = line.quantity_source or ""
    for name in counters:
        measured = f"counter:{name}:{usage_day}"
        if source == measured or source.startswith(f"{measured}:"):
            return name
    return None


def _rate(line: Line) -> tuple[str | None, ...]:
    return line.plan, line.currency, line.sales_price, line.cost_price, line.price_source


def difference(earlier: Sequence[Line], now: Line, corrects: date) -> Line | None:
    """The correction line; None where quantity and total are what they should be.

    It is about what was frozen first; about what is computed ``now`` where nothing was.
    """
    quantity = _less(now.quantity, [line.quantity for line in earlier])
    total = _less(now.total, [line.total for line in earlier])
    if Decimal(quantity or 0) == 0 and Decimal(total or 0) == 0:
        return None
    flags = [flag for flag in now.flags.split() if flag not in {"no_data", LATE_FLAG}]
    return (earlier[0] if earlier else now)._replace(
        kind="correction",
        corrects=corrects.isoformat(),
        quantity=quantity or "0",
        total=total or "0",
        flags=" ".join([*flags, LATE_FLAG]),
        quantity_source=now.quantity_source,
        level_totals=_levels(now, earlier),
        cost_total=_less(now.cost_total, [line.cost_total for line in earlier]),
    )


def _less(now: str | None, earlier: Iterable[str | None]) -> str | None:
    """``now`` less all that was ``earlier``; None where one of them is not known."""
    with localcontext(_EXACT):
        left = None if now is None else Decimal(now)
        for one in earlier:
            left = None if left is None or one is None else left - Decimal(one)
    return None if left is None else plain(left)


def _levels(now: Line, earlier: Sequence[Line]) -> str:
    """Level by level; ``-`` where a level has no price, or the frozen line knew of no levels."""
    rungs = (now.level_totals or "").split()
    known = [line.level_totals.split() if line.level_totals is not None else ["-"] * len(rungs) for line in earlier]
    return " ".join(
        _less(*_said(rung, [totals[n] if n < len(totals) else "-" for totals in known])) or "-"
        for n, rung in enumerate(rungs)
    )


def _said(now: str, earlier: Sequence[str]) -> tuple[str | None, list[str | None]]:
    return None if now == "-" else now, [None if one == "-" else one for one in earlier]
