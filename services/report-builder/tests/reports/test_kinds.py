"""What the kinds of report say, from a real warehouse, in every format."""

from __future__ import annotations

import struct
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from kinds_bench import Made, everything_in, make, rows, totals, tree_of
from report_builder.documents.csv_document import completeness_csv
from report_builder.documents.formats import FORMATS
from report_builder.documents.model import DocumentError
from report_builder.reports.model import KINDS
from report_builder.warehouse import reading

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
LAST, FIRST, SECOND = date(2027, 3, 1), date(2027, 3, 2), date(2027, 3, 3)
BOTH = (FIRST, FIRST)
TREE = [
    ("root", None, "service_provider"), ("r1", "root", "value_added_reseller"), ("r2", "r1", "value_added_reseller"),
    ("c", "r2", "customer"), ("d", "r1", "customer"), ("e", "root", "customer"),
]  # fmt: skip
GOLDEN = Path(__file__).parent / "golden"
SECRET_COST, SECRET_PRICE = "777.77", "888.88"


def organisations() -> list[list[str | None]]:
    return [[key, parent, kind, f"Name <{key}>", None, None, "en", "EUR"] for key, parent, kind in TREE]


def lines_of_first(make_line: Any) -> list[Any]:
    """Below r1: c through r2 (4 for 3, which r1 sells for 2 of its 888.88 ...), d directly; e is somebody else's."""
    secret = {"cost_total": SECRET_COST, "cost_price": SECRET_COST, "level_prices": f"{SECRET_PRICE} 3"}
    return [
        make_line(customer_id="c", object_id="o1", total="4.00", level_totals=f"{SECRET_PRICE} 3.00", **secret),
        make_line(customer_id="c", object_id="o2", service="TEL", unit="tel-user", stock_code="T-1", total="0.40",
                  level_totals=f"{SECRET_PRICE} 0.30", kind="correction", corrects="2027-02-27", flags="late_usage",
                  **secret),
        make_line(customer_id="c", object_id="o3", total="0.00", level_totals=f"{SECRET_PRICE} 0.00",
                  flags="non_billable reason:internal", **secret),
        make_line(customer_id="c", object_id="o4", total="5.00", level_totals="- 2.50", flags="no_level_price",
                  **secret),
        make_line(customer_id="d", total="30.00", level_totals="20.00", **{**secret, "level_prices": "20"}),
        make_line(customer_id="d", object_id="o6", total="3000", currency="JPY", level_totals="2000",
                  **{**secret, "level_prices": "2000"}),
        make_line(customer_id="r2", object_id="o7", total="7.00", level_totals="6.00",
                  **{**secret, "level_prices": "6"}),
        make_line(customer_id="e", object_id="o8", total="200.00", level_totals="", cost_total="100.00"),
    ]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def loaded(warehouse: Any, make_batch: Any, make_line: Any) -> None:
    before = make_batch(LAST)
    before.chunk("organisations", organisations())
    before.chunk(
        "lines",
        [
            make_line(customer_id="c", object_id="o1", total="3.50", level_totals="1.00 2.00"),
            make_line(customer_id="c", object_id="o9", stock_code="GONE", total="9.00", level_totals="1.00 2.00"),
        ],
    )
    await warehouse.keep(before)
    first = make_batch(FIRST, previous=before)
    first.chunk("organisations", organisations())
    first.chunk("lines", lines_of_first(make_line))
    first_state = first.published(
        completeness={"sources_missing": ["ad-1"], "unreached": ["exchange: secret-place"], "lines_without_usage": 0}
    )
    await warehouse.load(*first.records)
    answer = await warehouse.publish(first_state)
    assert answer.state == "loaded", answer.reason


def sums(found: list[dict[str, Any]], column: str, *by: str) -> dict[tuple[Any, ...], Decimal]:
    added: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for row in found:
        if row[column] is not None:
            added[tuple(row[name] for name in by)] += row[column]
    return dict(added)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("organisation", ["root", "r1", "r2"])
async def test_every_figure_that_two_reports_have_is_the_same(pool: Pool, name: str, organisation: str) -> None:
    customer = await make(pool, "customer-detail", name, BOTH, organisation)
    reseller = await make(pool, "reseller-detail", name, BOTH, organisation)
    summary = await make(pool, "billing-summary", name, BOTH, organisation)
    by = ("customer_id", "stock_code", "currency")
    assert sums(rows(customer), "total", *by) == sums(rows(reseller), "total", *by)
    of_summary = sums(rows(summary), "this_period", *by)
    of_detail = sums(rows(customer), "total", *by)
    assert {key: amount for key, amount in of_summary.items() if key in of_detail} == of_detail
    assert all(amount == 0 for key, amount in of_summary.items() if key not in of_detail)
    assert [(row["object_id"], row["quantity"]) for row in rows(customer)] == [
        (row["object_id"], row["quantity"]) for row in rows(reseller)
    ]
    assert sum(row["records"] for row in rows(summary)) == len(rows(customer))  # type: ignore[misc]
    async with pool.acquire() as connection:
        level = await reading.level_sums(connection, (FIRST, 1), organisation, viewer=organisation)  # type: ignore[arg-type]
    for column in ("sales", "cost"):
        expected: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
        for one in level:
            expected[one.currency,] += getattr(one, column)
        assert sums(rows(reseller), column, "currency") == expected
    if name in ("xls", "xlsx"):
        of_customers = [row for row in totals(customer) if row["service"] is None]
        assert sums(of_customers, "total", "currency") == sums(rows(customer), "total", "currency")
        units = [row for row in totals(customer) if row["unit"] is not None]
        assert sums(units, "total", "customer_id", "service", "unit", "currency") == sums(
            rows(customer), "total", "customer_id", "service", "unit", "currency"
        )
        below = [row for row in totals(reseller) if row["customer_id"] is None]
        assert {
            (row["sold_to"], row["currency"]): (row["sales"], row["cost"], row["margin"], row["unknown"])
            for row in below
        } == {
            (one.sold_to or organisation, one.currency): (one.sales, one.cost, one.margin, one.unknown or None)
            for one in level
        }


@pytest.mark.parametrize("name", FORMATS)
async def test_a_reseller_sees_nothing_of_the_levels_above(pool: Pool, name: str) -> None:
    made = await make(pool, "reseller-detail", name, BOTH, "r2")
    found = everything_in(made)
    for secret in (SECRET_COST, SECRET_PRICE, "20.00", "no_level_price", "secret-place", "root"):
        for encoding in ("utf-8", "utf-16-le"):
            assert secret.encode(encoding) not in found, secret
    for number in (SECRET_COST, SECRET_PRICE):
        assert struct.pack("<d", Decimal(number)) not in found
    assert {row["customer_id"] for row in rows(made)} == {"c", "r2"}
    # The same figures are there for those who may see them: the search does find them.
    above = everything_in(await make(pool, "reseller-detail", name, BOTH, "root"))
    assert SECRET_COST.encode() in above or struct.pack("<d", Decimal(SECRET_COST)) in above


@pytest.mark.parametrize("name", FORMATS)
async def test_a_cost_that_is_not_known_is_empty_and_said(pool: Pool, name: str) -> None:
    made = await make(pool, "reseller-detail", name, BOTH, "r1")
    [unknown] = [row for row in rows(made) if row["object_id"] == "o4"]
    assert (unknown["sales"], unknown["cost"], unknown["margin"]) == (Decimal("2.50"), None, None)
    assert unknown["flags"] == "unknown_cost"
    [free] = [row for row in rows(made) if row["object_id"] == "o3"]
    assert (free["sales"], free["total"]) == (0, 0), "what is not billed costs nothing, and that is known"
    [total] = [one for one in made.document.totals if one.currency == "EUR"]
    assert total.unknown == 1
    if name == "xml":
        assert [one.get("unknown") for one in tree_of(made).findall("{*}total")] == ["1", None]


@pytest.mark.parametrize("name", FORMATS)
async def test_a_period_is_compared_with_the_one_before(pool: Pool, name: str) -> None:
    made = await make(pool, "billing-summary", name, BOTH, "c")
    found = {row["stock_code"]: row for row in rows(made)}
    names = ("this_period", "last_period", "difference", "records", "last_records", "flags")
    assert {code: tuple(row[name] for name in names) for code, row in found.items()} == {
        "GONE": (0, 9, -9, 0, 1, None),
        "HE-G": (9, Decimal("3.50"), Decimal("5.50"), 3, 1, None),
        "T-1": (Decimal("0.40"), 0, Decimal("0.40"), 1, 0, None),
    }
    assert [batch.batch_date for batch in made.document.compared] == [LAST]


@pytest.mark.parametrize("name", FORMATS)
async def test_a_last_period_without_data_is_empty_and_never_nothing(pool: Pool, name: str) -> None:
    made = await make(pool, "billing-summary", name, (LAST, LAST), "c")
    for row in rows(made):
        assert (row["last_period"], row["difference"], row["last_records"]) == (None, None, None)
        assert row["flags"] == "last_period_no_data"
    assert made.completeness["compared_dates_missing"] == ["2027-02-28"]
    incomplete = await make(pool, "billing-summary", name, (FIRST, SECOND), "c")
    assert {row["flags"] for row in rows(incomplete)} == {"last_period_no_data period_incomplete"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMATS)
async def test_the_same_request_gives_the_same_bytes(pool: Pool, kind: str, name: str) -> None:
    one, two = [await make(pool, kind, name, (LAST, FIRST), "r1", "fr") for _ in range(2)]
    assert one.raw == two.raw


async def test_a_customer_has_no_reseller_detail(pool: Pool) -> None:
    with pytest.raises(DocumentError, match="'c' is a customer and sells to nobody"):
        await make(pool, "reseller-detail", "csv", BOTH, "c")


async def test_places_of_others_are_told_to_the_provider_only(pool: Pool) -> None:
    async def said(organisation: str | None) -> Any:
        made: Made = await make(pool, "customer-detail", "csv", BOTH, organisation)
        return {fact.partition(".")[2]: value for fact, value in made.completeness.items() if "unreached" in fact}

    assert await said(None) == await said("root") == {"unreached": ["exchange: secret-place"]}
    assert await said("r1") == {"unreached_places": 1}


async def test_nobody_below_is_in_a_summary_of_everybody_twice(pool: Pool) -> None:
    made = await make(pool, "billing-summary", "csv", BOTH)
    assert sums(rows(made), "this_period", "currency") == {("EUR",): Decimal("246.40"), ("JPY",): Decimal(3000)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["csv", "xml"])
async def test_the_bytes_are_those_that_were_read_by_eye(pool: Pool, kind: str, name: str) -> None:
    """What a difference means, and whether old readers can live with it, is for a person to decide."""
    made = await make(pool, kind, name, BOTH, "r2")
    kept = GOLDEN / f"{kind}.{name}"
    assert made.raw == kept.read_bytes()
    if name == "csv":
        assert completeness_csv(made.document) == (GOLDEN / f"{kind}.completeness.csv").read_bytes()
