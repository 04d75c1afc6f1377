"""The price models in SQL are those of ``tallyport.pricing``: whole lines, computed both ways."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest_asyncio
from billing_engine.transfers.lines import store as lines_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tallyport.contracts.billing import LINE_COLUMNS
from tallyport.contracts.catalog import BillingUnit
from tallyport.money import minor_digits, parse_decimal, plain, round_half_away
from tallyport.pricing.inheritance import PlanValues, effective
from tallyport.pricing.resolving import priced
from tallyport_local.testing import Connect

DAY = date(2026, 5, 3)
USERS = 12
CHAIN = ["customer", "reseller", "provider"]
NAMES = ["sales_price", "second_price", "gift", "bundle", "floor", "cap"]

SETUP = """
INSERT INTO organisation (id, type, parent, name, source_partition, source_offset) VALUES
    ('provider', 'service_provider', NULL, 'Provider', 0, 0),
    ('reseller', 'value_added_reseller', 'provider', 'Reseller', 0, 0),
    ('customer', 'customer', 'reseller', 'Customer', 0, 0);
INSERT INTO billable_object (customer_no, id, kind)
SELECT organisation_no, 'object-' || to_char(n, 'FM00'), CASE n WHEN 0 THEN 'service_instance' ELSE 'subscription' END
FROM organisation, generate_series(0, 12) n WHERE id = 'customer' ORDER BY n;
INSERT INTO service_instance
SELECT customer_no, object_no, id, 'S', NULL, 'Provisioned', true, false, '{}', '{}', NULL, 0, 0
FROM billable_object WHERE kind = 'service_instance';
INSERT INTO subscription
SELECT b.customer_no, b.object_no, b.id, i.object_no, 'P', 'Provisioned', b.id || '@example.org', 'User', NULL, 0, 0
FROM billable_object b JOIN service_instance i USING (customer_no) WHERE b.kind = 'subscription';
INSERT INTO counter (name) VALUES ('C');
INSERT INTO service (id, name) VALUES ('S', 'Service');
INSERT INTO service_counter VALUES ('S', 'C', 'MB', 'last');
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def connection(connect: Connect) -> AsyncIterator[Any]:
    _, pool = await connect("billing_engine")
    async with pool.acquire() as acquired:
        await acquired.execute(SETUP)
        await acquired.execute("SELECT ensure_usage_day($1)", DAY)
        yield acquired


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    return st.decimals(low, high, places=4).map(plain) | st.integers(low, high).map(str)


PRICES = numbers(0, 50) | st.sampled_from(["sales_price", "second_price"])
LIMITS = st.fixed_dictionaries(
    {}, optional={"minimum": numbers(0, 100) | st.just("floor"), "maximum": numbers(0, 10_000) | st.just("cap")}
)


@st.composite
def tiers(draw: st.DrawFn) -> list[dict[str, str]]:
    bounds = sorted(draw(st.sets(st.integers(1, 3000), max_size=4)))
    return [*({"up_to_inclusive": str(one), "price": draw(PRICES)} for one in bounds), {"price": draw(PRICES)}]


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    model = draw(st.sampled_from(["flat", "included", "graduated", "volume", "package"]))
    found: dict[str, Any] = {"model": model}
    if draw(st.booleans()):
        found |= draw(LIMITS)
        if {"minimum", "maximum"} <= found.keys() and found["minimum"] not in NAMES and found["maximum"] not in NAMES:
            low, high = sorted((found["minimum"], found["maximum"]), key=Decimal)
            found |= {"minimum": low, "maximum": high}
    if model in {"graduated", "volume"}:
        found["tiers"] = draw(tiers())
    if model == "included":
        found["included"] = draw(numbers(0, 1000) | st.just("gift"))
    if model == "package":
        found["size"] = draw(numbers(1, 700) | st.just("bundle"))
    return found


VALUES = st.dictionaries(st.sampled_from(NAMES), numbers(0, 1000) | st.sampled_from(["", "Unlimited", "-3"]))
FULL = st.fixed_dictionaries({name: numbers(0, 1000) for name in NAMES})
QUANTITIES = st.lists(
    st.none() | numbers(-5, 5000) | st.integers(0, 3000).map(str) | st.decimals(0, 4000, places=20).map(plain),
    min_size=USERS,
    max_size=USERS,
)


@dataclass(frozen=True)
class Case:
    """A unit's price model, what is said of its plan, and what was measured."""

    model: dict[str, Any]
    own: dict[str, str]
    reseller: dict[str, str]
    quantities: list[str | None]
    currency: str

    @property
    def unit(self) -> BillingUnit:
        return BillingUnit.model_validate(
            {
                "id": "u",
                "plan_type": "user_plan",
                "unit": "user",
                "quantity": {"counter": "C"},
                "price_model": self.model,
            }
        )


CASES = st.builds(
    Case,
    model=models(),
    own=FULL | VALUES,
    reseller=VALUES,
    quantities=QUANTITIES,
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(case=CASES)
async def test_every_line_is_what_the_plain_function_says(connection: Any, case: Case) -> None:
    lines = await _computed(connection, case)
    assert [_figures(line) for line in lines] == _expected(case)


def _figures(line: dict[str, Any]) -> tuple[Any, ...]:
    return Decimal(line["quantity"]), Decimal(line["total"]), line["sales_price"], line["flags"]


def _expected(case: Case) -> list[tuple[Any, ...]]:
    unit = case.unit
    values = PlanValues(case.own, {"reseller": case.reseller}, {})
    model = unit.price_model
    found = priced(model, unit.price, lambda name: effective(name, values, CHAIN, None))
    said = effective("sales_price", values, CHAIN, None)
    number = said.as_number() if said is not None else None
    price = plain(number) if number is not None and model.model == "flat" else None
    unlimited = False
    if model.model == "included" and model.included == "gift":
        gift = effective("gift", values, CHAIN, None)
        unlimited = gift is not None and gift.as_number() is None
    expected = []
    for text in case.quantities:
        quantity = Decimal(0) if text is None else parse_decimal(text)
        charge = found.charge(quantity) if found is not None and text is not None else None
        total = round_half_away(Decimal(0) if charge is None else charge.amount, minor_digits(case.currency))
        flags = [
            "no_data" if text is None else "",
            "no_price" if found is None else "",
            "unlimited" if unlimited else "",
            charge.limited_by if charge is not None else "",
        ]
        expected.append((quantity, total, price, " ".join(flag for flag in flags if flag)))
    return expected


async def _computed(connection: Any, case: Case) -> list[dict[str, Any]]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("INSERT INTO plan VALUES ('P', 'S', 'user_plan', 'Plan', $1)", case.currency)
        await connection.executemany("INSERT INTO plan_property VALUES ('P', $1, $2)", list(case.own.items()))
        await connection.executemany(
            "INSERT INTO plan_override VALUES ('P', 'organisation', 'reseller', $1, $2)", list(case.reseller.items())
        )
        await connection.execute(
            "INSERT INTO schema_version VALUES ('S', 1, $1, now(), 'test', '')", json.dumps([case.unit.model_dump()])
        )
        await connection.executemany(
            "INSERT INTO usage_sample SELECT $1, customer_no, object_no, counter_no, now(), $3, now(), 1 "
            "FROM billable_object b, counter WHERE b.id = 'object-' || to_char($2::int, 'FM00')",
            [(DAY, n, parse_decimal(text)) for n, text in enumerate(case.quantities, start=1) if text is not None],
        )
        await connection.execute("SET LOCAL enable_nestloop = off; SET LOCAL jit = off")
        customers = await lines_store.prepare_work(connection, DAY)
        lines = await lines_store.compute_lines(connection, customers=customers, rows_per_part=100, usage_day=DAY)
    finally:
        await transaction.rollback()
    assert sum(part.row_count for part in lines.parts) == USERS
    rows = [row for part in lines.parts for row in json.loads(f"[{part.rows}]")]
    found = [dict(zip(LINE_COLUMNS, row, strict=True)) for row in rows]
    assert lines.totals == {case.currency: sum((Decimal(line["total"]) for line in found), Decimal(0))}
    return found
