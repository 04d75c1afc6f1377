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
    marks: Mapping[str, AbstractSet[str]],
    *,
    frozen: Iterable[Line],
    billed: Iterable[Line],
    computed: Iterable[Line],
) -> Found:
    """What has to be billed besides what was ``frozen`` and ``billed``, for it all to be what is ``computed``.

    ``marks`` are the counters, by object, of which something came late. Lines of anything else are left alone.
    """
    found = Found()
    then = {line.key: line for line in frozen if line.kind == "line"}
    since: dict[Key, list[Line]] = {}
    for line in billed:
        since.setdefault(line.key, []).append(line)
    seen: set[tuple[str, str]] = set()
    for now in computed:
        counter = _measured_by(now, marks.get(now.object_id, frozenset()), usage_day)
        if counter is None:
            continue
        before = then.get(now.key)
        if before is None:
            continue
        seen.add((now.object_id, counter))
        if _rate(before) != _rate(now):
            found.unlike += 1
        elif (correction := difference(before, since.get(now.key, ()), now, corrects)) is not None:
            found.lines.append(correction)
    found.without_line = sum(len(counters) for counters in marks.values()) - len(seen)
    return found


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


def difference(before: Line, since: Sequence[Line], now: Line, corrects: date) -> Line | None:
    """The correction line; None where quantity and total are what they should be."""
    earlier = [before, *since]
    quantity = _less(now.quantity, [line.quantity for line in earlier])
    total = _less(now.total, [line.total for line in earlier])
    if Decimal(quantity or 0) == 0 and Decimal(total or 0) == 0:
        return None
    flags = [flag for flag in now.flags.split() if flag != "no_data"]
    return before._replace(
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
