"""Sales, cost and margin of every level, from the lines alone."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from report_builder.warehouse import reading, service
from report_builder.warehouse.model import LevelSums
from tallyport.contracts.billing import LINE_COLUMNS_BEFORE_LEVELS

DAY, BEFORE = date(2027, 1, 1), date(2027, 1, 2)
TREE = [
    ("root", None, "service_provider"), ("r1", "root", "value_added_reseller"), ("r2", "r1", "value_added_reseller"),
    ("c", "r2", "customer"), ("d", "r1", "customer"), ("e", "root", "customer"),
]  # fmt: skip


def organisations() -> list[list[str | None]]:
    return [[key, parent, kind, key.upper(), None, None, "en", "EUR"] for key, parent, kind in TREE]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def batch(warehouse: Any, make_batch: Any, make_line: Any) -> tuple[date, int]:
    """What c uses costs the root 1, r1 2, r2 3 and c 4; what the others do is ten times that, and so on."""
    made = make_batch(DAY)
    made.chunk("organisations", organisations())
    made.chunk(
        "lines",
        [
            make_line(customer_id="c", total="4.00", level_prices="2 3", level_totals="2.00 3.00", cost_total="1.00"),
            make_line(customer_id="c", total="0.40", level_prices="2 3", level_totals="0.20 0.30", cost_total="0.10"),
            make_line(customer_id="d", total="30.00", level_prices="20", level_totals="20.00", cost_total="10.00"),
            make_line(customer_id="e", total="200.00", level_prices="", level_totals="", cost_total="100.00"),
            make_line(customer_id="r2", total="3000", level_prices="2000", level_totals="2000", cost_total="1000",
                      currency="JPY"),
            make_line(customer_id="root", total="5.00", level_totals="", cost_total="2.00"),
        ],
    )  # fmt: skip
    await warehouse.keep(made)
    return DAY, 1


@pytest.mark.parametrize(
    ("organisation", "expected"),
    [
        ("root", [("e", "EUR", "200.00", "100.00"), ("r1", "EUR", "22.20", "11.10"), ("r1", "JPY", "2000", "1000"),
                  (None, "EUR", "0", "2.00")]),
        ("r1", [("d", "EUR", "30.00", "20.00"), ("r2", "EUR", "3.30", "2.20"), ("r2", "JPY", "3000", "2000")]),
        ("r2", [("c", "EUR", "4.40", "3.30"), (None, "JPY", "0", "3000")]),
        ("c", [(None, "EUR", "0", "4.40")]),
    ],
)  # fmt: skip
async def test_each_level_takes_what_the_next_pays(
    pool: asyncpg.Pool[asyncpg.Record], batch: tuple[date, int], organisation: str, expected: list[Any]
) -> None:
    async with pool.acquire() as connection:
        found = await reading.level_sums(connection, batch, organisation, viewer="root")  # type: ignore[arg-type]
    assert [(one.sold_to, one.currency, one.sales, one.cost) for one in found] == [
        (sold_to, currency, Decimal(sales), Decimal(cost)) for sold_to, currency, sales, cost in expected
    ]
    assert [one.margin for one in found] == [one.sales - one.cost for one in found]


@pytest.mark.parametrize(
    ("viewer", "organisation", "seen"),
    [("r1", "r1", True), ("r1", "r2", True), ("r1", "root", False), ("r2", "r1", False), ("r2", "d", False),
     ("e", "r1", False), ("nobody", "nobody", False)],
)  # fmt: skip
async def test_nobody_sees_above_itself(
    pool: asyncpg.Pool[asyncpg.Record], batch: tuple[date, int], viewer: str, organisation: str, *, seen: bool
) -> None:
    async with pool.acquire() as connection:
        if seen:
            assert await reading.level_sums(connection, batch, organisation, viewer=viewer)  # type: ignore[arg-type]
        else:
            with pytest.raises(reading.OutOfScopeError):
                await reading.level_sums(connection, batch, organisation, viewer=viewer)  # type: ignore[arg-type]


async def test_what_is_not_known_is_not_zero(warehouse: Any, make_batch: Any, make_line: Any) -> None:
    made = make_batch(BEFORE)
    made.chunk("organisations", organisations())
    made.chunk(
        "lines",
        [
            make_line(customer_id="c", total="4.00", level_totals="- 3.00", flags="no_level_price", cost_total=None),
            make_line(customer_id="c", total="0.00", level_totals="2.00 3.00", flags="no_price", cost_total="1.00"),
            make_line(customer_id="c", total="0.00", level_totals="0.00 0.00", flags="no_price non_billable reason:a",
                      cost_total="1.00"),
        ],
    )  # fmt: skip
    # Published before lines held the levels.
    made.chunk("lines", [make_line(customer_id="c", total="9.00")[: len(LINE_COLUMNS_BEFORE_LEVELS)]])
    await warehouse.keep(made)
    key = (BEFORE, 1)
    async with warehouse.pool.acquire() as connection:
        found = [
            (await reading.level_sums(connection, key, name, viewer=name))[0]  # type: ignore[arg-type]
            for name in ("root", "r1", "r2", "c")
        ]
        proved = await service.verify(connection, key)  # type: ignore[arg-type]
    sums = [("2.00", "2.00", 2), ("6.00", "2.00", 2), ("13.00", "6.00", 2), ("0", "13.00", 1)]
    sold = ["r1", "r2", "c", None]
    assert found == [
        LevelSums(to, "EUR", 4, Decimal(sales), Decimal(cost), unknown)
        for to, (sales, cost, unknown) in zip(sold, sums, strict=True)
    ]
    assert [one.margin for one in found] == [None] * 4
    assert proved.ok, proved
