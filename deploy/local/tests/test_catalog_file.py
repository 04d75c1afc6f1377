"""Mistakes in a catalogue are named by line and field."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from tallyport_local.catalog_file import CatalogFileError, read_catalog
from tallyport_local.errors import InvalidInputError

GOOD = """\
services:
  - id: HE
    name: Hosted Exchange
    counters: [{name: DiskUsageMB, unit: MB, aggregation: last}]
    plans:
      - {id: HE-STD, type: customer_plan, name: Standard, currency: EUR,
         properties: {sales_price: "10.00", cost_price: "6.00", stock_code: HE-STD}}
      - {id: HE-GOLD, type: user_plan, name: Gold, currency: EUR, properties: {sales_price: "4", price_per_mb: "0.01"}}
    billing_units:
      - {id: he-instance, plan_type: customer_plan, unit: instance, quantity: status, price: sales_price}
      - {id: he-user, plan_type: user_plan, unit: user, quantity: {counter: DiskUsageMB}, price: price_per_mb}
    overrides:
      - {plan: HE-GOLD, organisation: var-north, properties: {sales_price: "4.00"}}
"""


BY_COUNTER = "quantity: {counter: DiskUsageMB}, "
UNIT = "services[0].billing_units[1]"
OVERLAPPING = """price_model: {model: graduated, tiers: [{up_to_inclusive: "9", price: "1"},
         {up_to_inclusive: "9", price: "1"}, {price: "1"}]}, """


def _write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "catalog.yaml"
    file.write_text(dedent(text), encoding="utf-8")
    return file


def test_the_documented_catalogue_is_valid(tmp_path: Path) -> None:
    document = read_catalog(_write(tmp_path, GOOD))
    assert [plan.id for plan in document.services[0].plans] == ["HE-STD", "HE-GOLD"]


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "words"),
    [
        ('sales_price: "10.00"', "sales_price: 10.00", 7, "services[0].plans[0].properties.sales_price", "in quotes"),
        ("type: user_plan, name: Gold", "type: userplan, name: Gold", 8, "services[0].plans[1].type", "user_plan"),
        ("currency: EUR,\n", "currency: euro,\n", 6, "services[0].plans[0].currency", "pattern"),
        ("    name: Hosted Exchange\n", "", 2, "services[0].name", "required"),
        ("name: Hosted Exchange", "nam: Hosted Exchange", 3, "services[0].nam", "no such field"),
        ("counter: DiskUsageMB", "counter: Disk", 11, "services[0].billing_units[1].quantity.counter", "no counter"),
        ("plan: HE-GOLD", "plan: HE-LEAD", 13, "services[0].overrides[0].plan", "no plan 'HE-LEAD'"),
        ('price_per_mb: "0.01"', 'price_per_mb: "cheap"', 8, "services[0].plans[1].properties.price_per_mb", "price"),
        ('cost_price: "6.00"', 'cost_price: "6,00"', 7, "services[0].plans[0].properties.cost_price", "price"),
        ("id: HE-GOLD, type", "id: HE-STD, type", 8, "services[0].plans[1].id", "two plans 'HE-STD'"),
        ("id: he-user,", "id: he-instance,", 11, "services[0].billing_units[1].id", "two billing units"),
        (
            "services:\n",
            'conversion_rates: [{from: EUR, to: USD, rate: "0", valid_from: 2026-01-01}]\nservices:\n',
            1,
            "conversion_rates[0].rate",
            "not greater than 0",
        ),
        (
            "services:\n",
            'conversion_rates: [{from: EUR, to: EUR, rate: "1", valid_from: 2026-01-01}]\nservices:\n',
            1,
            "conversion_rates[0]",
            "both EUR",
        ),
        (
            "services:\n",
            "conversion_rates: ["
            + 2 * '{from: EUR, to: USD, rate: "1.1", valid_from: 2026-01-01}, '
            + "]\nservices:\n",
            1,
            "conversion_rates[1]",
            "two rates 'EUR>USD:2026-01-01'",
        ),
        (
            "plan: HE-GOLD, organ",
            "plan: HE-GOLD, currency: dollar, organ",
            13,
            "services[0].overrides[0].currency",
            "pattern",
        ),
        ("organisation: var-north,", "organisation: a, location: b,", 13, "services[0].overrides[0]", "either"),
        ("unit: user,", "unit: instance,", 11, "services[0].billing_units[1]", "priced by a customer_plan"),
        (
            BY_COUNTER,
            BY_COUNTER + "convert: {from: GB, to: MB}, ",
            11,
            f"{UNIT}.convert.from",
            "measures 'MB', not 'GB'",
        ),
        (BY_COUNTER, BY_COUNTER + "convert: {from: MB, to: h}, ", 11, f"{UNIT}.convert", "same thing"),
        (BY_COUNTER, BY_COUNTER + 'description: "{user}", ', 11, f"{UNIT}.description", "no field {user}"),
        (BY_COUNTER, BY_COUNTER + OVERLAPPING, 11, f"{UNIT}.price_model", "overlaps"),
        (BY_COUNTER, BY_COUNTER + "price_model: {model: free}, ", 11, f"{UNIT}.price_model", "'flat', 'included'"),
        (
            BY_COUNTER,
            BY_COUNTER + "price_model: {model: package, size: 10}, ",
            11,
            f"{UNIT}.price_model.size",
            "quotes",
        ),
        ("    name: Hosted Exchange\n", "    name: A\n    name: B\n", 4, "name", "given twice"),
        ("  - id: HE\n", "  - id: HE\n   bad indent\n", 3, "YAML", ""),
    ],
)
def test_a_mistake_names_line_and_field(  # noqa: PLR0917 - the table's columns
    tmp_path: Path, old: str, new: str, line: int, field: str, words: str
) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(CatalogFileError) as caught:
        read_catalog(_write(tmp_path, GOOD.replace(old, new)))
    found = [m for m in caught.value.mistakes if m.line == line and m.field == field]
    assert found, caught.value.mistakes
    assert words in found[0].message
    assert f"catalog.yaml:{line}: {field}: " in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('"10.00"', "10.00").replace("type: user_plan, name", "type: x, name")
    with pytest.raises(CatalogFileError) as caught:
        read_catalog(_write(tmp_path, text))
    assert [mistake.line for mistake in caught.value.mistakes] == [7, 8]


@pytest.mark.parametrize("text", ["", "[]", "services: []", "just words", "services: {a: b}", "? {a: b}\n: c\n"])
def test_what_is_no_catalogue_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CatalogFileError):
        read_catalog(_write(tmp_path, text))


def test_a_missing_file_is_invalid_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="No such file"):
        read_catalog(tmp_path / "none.yaml")
