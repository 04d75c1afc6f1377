"""Reports as .csv."""

from __future__ import annotations

from documents_bench import (
    SATURDAY,
    Row,
    line,
    render,
    rows,
    rows_of_csv,
)
from hypothesis import given, settings
from report_builder.documents.model import (
    Rendered,
)


def test_csv_is_the_documented_text() -> None:
    raw, rendered = render("csv", {SATURDAY: [line(), line("c-2", sales_price=None, flags="no_price")]})
    assert raw.decode() == (
        "batch_date,customer_id,customer_name,service,plan_type,unit,object_id,description,name,stock_code,unit_code,"
        "quantity,sales_price,total,currency,kind,flags\r\n"
        "2026-11-21,c-1,Name of c-1,HE,user_plan,he-user,o-1,Jörg Ünsal,Gold,HE-G,HE-MB,1024.5,0.0015,1.54,EUR,"
        "line,\r\n"
        "2026-11-21,c-2,Name of c-2,HE,user_plan,he-user,o-1,Jörg Ünsal,Gold,HE-G,HE-MB,1024.5,,1.54,EUR,line,"
        "no_price\r\n"
    )
    assert rendered == Rendered(2, 0)


@settings(deadline=None, max_examples=60)
@given(rows())
def test_any_text_and_number_comes_back_from_csv(written: list[Row]) -> None:
    raw, _ = render("csv", {SATURDAY: written})
    expected = [tuple(value or "" for value in row[:-1]) for row in written]
    assert [tuple(row[1:]) for row in rows_of_csv(raw)[1:]] == expected
